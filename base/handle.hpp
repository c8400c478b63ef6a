// The one wrapper for objects of C libraries: using PKey = Handle<EVP_PKEY, EVP_PKEY_free>;
#pragma once

#include <memory>

namespace countersign::base {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    static_cast<void>(Free(object));
  }
};

template <class T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;

}  // namespace countersign::base
