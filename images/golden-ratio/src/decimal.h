// Numbers as limbs of 14 decimal digits, the least first.
#ifndef DECIMAL_H
#define DECIMAL_H

#include <stddef.h>

#include "field.h"

enum { LIMB_DIGITS = 14 };
#define BASE 100000000000000u

// Returns a·b, of `size` limbs, modulo BASE^size - 1, where both are the same for a square. `size`
// comes from `find_size`. The result is overwritten by the next product.
ulong *multiply_cyclic(size_t size, const ulong *a, size_t a_size, const ulong *b, size_t b_size);

// Takes the memory for products of up to this size, which spares taking more and more of it.
void reserve_products(size_t size);

// Gives back the memory that products were made in.
void release_products(void);

// Adds a small number at one limb, modulo BASE^size - 1.
void add_cyclic(ulong *a, size_t size, size_t at, wide number);

// Takes the negative modulo BASE^size - 1.
void negate_cyclic(ulong *a, size_t size);

// Multiplies by a small number, modulo BASE^size - 1.
void scale_cyclic(ulong *a, size_t size, ulong factor);

// Halves rest·BASE^size + a, for a rest of 0 or 1.
void halve(ulong *a, size_t size, ulong rest);

// Writes a limb's digits.
void put_limb(char *text, ulong limb);

// Reads up to 14 digits; returns BASE where one is none.
ulong get_limb(const char *text, size_t digits);

#endif
