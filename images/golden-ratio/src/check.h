// Whether the digits in the file are those of φ.
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

// Reads the file back; returns what is wrong with it, or NULL. With x = floor(√5·10^n), which the
// digits give, and r = 5·10^2n - x², it checks that 0 <= r <= 2x, and that x² + r is 5·10^2n modulo
// random primes of 61 bits.
const char *check_digits(size_t digits);

// The same by a second formula, with other programs' arithmetic: F(k+1)/F(k), of Fibonacci numbers,
// is φ to more than these digits.
const char *check_ratio(size_t digits);

#endif
