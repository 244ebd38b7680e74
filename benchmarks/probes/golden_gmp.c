// The golden ratio as GMP makes it: golden-gmp DIGITS FILE. What images/golden-ratio does, by
// mpz_sqrtrem and mpz_get_str on one core: computed, written, read back and verified modulo random
// primes. It prints the seconds.

#include <fcntl.h>
#include <gmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { PRIMES = 4 };

static double read_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned long pick_prime(void)
{
    unsigned long number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number) {
        exit(1);
    }
    mpz_t prime;
    mpz_init_set_ui(prime, number >> 4 | 1UL << 60);
    mpz_nextprime(prime, prime);
    number = mpz_get_ui(prime);
    mpz_clear(prime);
    return number;
}

static void write_digits(const char *name, const char *text, size_t digits)
{
    FILE *file = fopen(name, "w");
    if (!file || fwrite("1.", 1, 2, file) != 2 || fwrite(text + 1, 1, digits, file) != digits ||
        fputc('\n', file) == EOF || fflush(file) || fsync(fileno(file)) || fclose(file)) {
        perror(name);
        exit(1);
    }
}

// Returns the number that 1 and the decimals make, modulo a prime.
static unsigned long reduce(const char *decimals, size_t digits, unsigned long prime)
{
    unsigned long value = 1;
    for (size_t i = 0; i < digits;) {
        unsigned long part = 0, power = 1;
        for (int j = 0; j < 18 && i < digits; j++, i++) {
            part = part * 10 + (unsigned long)(decimals[i] - '0');
            power *= 10;
        }
        value = (unsigned long)(((unsigned __int128)value * power + part) % prime);
    }
    return value;
}

static void verify(const char *name, size_t digits, const mpz_t root, const mpz_t rest)
{
    char *text = malloc(digits + 3);
    FILE *file = fopen(name, "r");
    if (!text || !file || fread(text, 1, digits + 3, file) != digits + 3) {
        perror(name);
        exit(1);
    }
    fclose(file);
    mpz_t twice;
    mpz_init(twice);
    mpz_mul_2exp(twice, root, 1);
    int right = mpz_sgn(rest) >= 0 && mpz_cmp(rest, twice) <= 0;
    mpz_clear(twice);
    unsigned long odd = mpz_odd_p(root);
    mpz_t power, modulus;
    mpz_init(power);
    mpz_init(modulus);
    for (int i = 0; i < PRIMES; i++) {
        unsigned long p = pick_prime();
        mpz_set_ui(modulus, p);
        mpz_set_ui(power, 10);
        mpz_powm_ui(power, power, digits, modulus);
        unsigned long ten = mpz_get_ui(power);
        unsigned long x = reduce(text + 2, digits, p);
        x = (unsigned long)((2 * (unsigned __int128)x + p - ten + odd) % p);
        unsigned long found = (unsigned long)(((unsigned __int128)x * x + mpz_fdiv_ui(rest, p)) % p);
        unsigned __int128 square = (unsigned __int128)ten * ten % p;
        right = right && found == (unsigned long)(5 * square % p);
    }
    mpz_clear(power);
    mpz_clear(modulus);
    free(text);
    if (!right) {
        fprintf(stderr, "golden-gmp: %s is wrong\n", name);
        exit(1);
    }
}

int main(int count, char **words)
{
    size_t digits = count == 3 ? strtoul(words[1], NULL, 10) : 0;
    if (digits < 1) {
        fprintf(stderr, "golden-gmp DIGITS FILE\n");
        return 2;
    }
    double began = read_clock();
    mpz_t square, root, rest, phi;
    mpz_init(square);
    mpz_init(root);
    mpz_init(rest);
    mpz_init(phi);
    mpz_ui_pow_ui(square, 10, 2 * digits);
    mpz_mul_ui(square, square, 5);
    mpz_sqrtrem(root, rest, square);
    mpz_clear(square);
    mpz_ui_pow_ui(phi, 10, digits);
    mpz_add(phi, phi, root);
    mpz_fdiv_q_2exp(phi, phi, 1);
    char *text = mpz_get_str(NULL, 10, phi);
    mpz_clear(phi);
    write_digits(words[2], text, digits);
    free(text);
    verify(words[2], digits, root, rest);
    printf("%.6f\n", read_clock() - began);
    return 0;
}
