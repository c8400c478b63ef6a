// Beast's own code, compiled once instead of in every file that uses it (BOOST_BEAST_SEPARATE_COMPILATION).
#include <boost/beast/src.hpp>
