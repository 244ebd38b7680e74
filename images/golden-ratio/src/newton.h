// The digits of φ by Newton's iteration for 1/√5, in decimal limbs from the beginning.
#ifndef NEWTON_H
#define NEWTON_H

#include <stddef.h>

#include "field.h"

// Returns how many steps it is to so many digits.
size_t count_steps(size_t digits);

// Returns how many limbs the number has after a step; 0 is before the first one.
size_t find_limbs(size_t digits, size_t step);

// Returns the size of the largest product on the way to so many digits.
size_t find_product_size(size_t digits);

// Returns 1/√5·BASE^size, rounded, for a size of up to 32 limbs: what the steps begin from.
ulong *begin_root(size_t size);

// Returns 1/√5·BASE^wanted from 1/√5·BASE^size, each wrong by at most 2; wanted is 2·size - 1 or
// less. Returns NULL where what it is given is something else. Frees that.
ulong *improve_root(ulong *root, size_t size, size_t wanted);

// Makes (φ - 1)·BASE^size from 1/√5·BASE^size, wrong by at most 6.
void make_golden(ulong *root, size_t size);

#endif
