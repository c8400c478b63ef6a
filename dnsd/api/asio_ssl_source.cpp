// Asio's code for TLS, compiled once instead of in every file that uses it (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/ssl/impl/src.hpp>
