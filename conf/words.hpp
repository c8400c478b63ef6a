// Words of the configuration that the command line has, too.
#pragma once

#include <array>
#include <string_view>

#include "conf/config.hpp"

namespace countersign::conf {

// A word and what it stands for.
template <class T>
struct Word {
  std::string_view text;
  T value;
};

inline constexpr std::array kKeyTypes{
    Word<KeyType>{"p256", KeyType::P256},       Word<KeyType>{"p384", KeyType::P384},
    Word<KeyType>{"rsa2048", KeyType::Rsa2048}, Word<KeyType>{"rsa3072", KeyType::Rsa3072},
    Word<KeyType>{"rsa4096", KeyType::Rsa4096},
};
inline constexpr std::array kChallengeTypes{
    Word<ChallengeType>{"dns-01", ChallengeType::Dns01},
    Word<ChallengeType>{"dns-account-01", ChallengeType::DnsAccount01},
    Word<ChallengeType>{"dns-persist-01", ChallengeType::DnsPersist01},
};

}  // namespace countersign::conf
