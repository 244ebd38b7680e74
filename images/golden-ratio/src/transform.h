// Cyclic convolutions by number-theoretic transforms modulo two primes of 62 bits.
#ifndef TRANSFORM_H
#define TRANSFORM_H

#include <stddef.h>

#include "field.h"

enum { PRIMES = 2 };

extern field primes[PRIMES];

// Makes the tables that transforms of up to this size need; sizes only grow.
void prepare_transforms(size_t size);

// Returns the least size of a transform that is not below this: 2^k or 3·2^k, at least 16.
size_t find_size(size_t least);

// Replaces each residue[i], of `size` values below primes[i].p, by its cyclic convolution with
// other[i], or with itself where that is the same array. other[i] is destroyed. The values are
// below 2 primes[i].p then, and lack the factor `find_scale`.
void convolve(ulong *const residue[PRIMES], ulong *const other[PRIMES], size_t size);

// Returns what `multiply` must multiply a value of a convolution with, to have it whole.
ulong find_scale(int prime, size_t size);

// Returns the inverse of the first prime modulo the second, as a factor.
ulong find_inverse_of_first(void);

// Calls task(i, data) for all i below count, on as many threads as FLINT was given.
void run_tasks(void (*task)(slong, void *), void *data, slong count);

#endif
