// The folder's one way to ldns.
#pragma once

// Without this ldns defines `false` as 0, and the standard library stops compiling.
#include <stdbool.h>

#include <ldns/ldns.h>
