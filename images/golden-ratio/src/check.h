// Whether the digits in the file are those of φ.
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

typedef enum { RIGHT, WRONG_DIGIT, NO_DIGITS } verdict;

// Reads the file back. With x = floor(√5·10^n), which the digits give, and r = 5·10^2n - x², it
// checks that 0 <= r <= 2x, and that x² + r is 5·10^2n modulo random primes of 61 bits.
verdict check_root(size_t digits);

// The same by a second formula, with other programs' arithmetic: F(k+1)/F(k), of Fibonacci numbers,
// is φ to more than these digits.
verdict check_ratio(size_t digits);

#endif
