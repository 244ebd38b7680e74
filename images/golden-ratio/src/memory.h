// How much memory there is, and how many digits it is enough for.
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>

// Returns the bytes that this program may take: what the machine has available, or the limit of a
// control group that it is in, of version 1 or 2, if that is less.
size_t find_memory(void);

// Returns the most digits that so much memory is enough for, for the computation and for the kind of
// verification.
size_t find_most_digits(size_t memory, bool full);

#endif
