#include "check.h"

#include <stdbool.h>
#include <sys/random.h>

#include <flint/fmpz.h>
#include <flint/ulong_extras.h>

#include "decimal.h"
#include "files.h"
#include "report.h"
#include "transform.h"

enum { RANDOM_PRIMES = 4 };

// What the tasks share that reduce x and r modulo primes.
typedef struct {
    const ulong *number[2];
    size_t size;            // of both
    field modulo[RANDOM_PRIMES];
    ulong found[2][RANDOM_PRIMES];
} residues;

static void reduce(slong number, void *data)
{
    residues *r = data;
    const ulong *limbs = r->number[number];
    ulong base[RANDOM_PRIMES], value[RANDOM_PRIMES] = {0};
    for (int i = 0; i < RANDOM_PRIMES; i++) {
        base[i] = to_factor(&r->modulo[i], BASE);
    }
    for (size_t at = r->size; at-- > 0;) {
        for (int i = 0; i < RANDOM_PRIMES; i++) {
            value[i] = multiply(&r->modulo[i], value[i], base[i]) + limbs[at];
        }
    }
    for (int i = 0; i < RANDOM_PRIMES; i++) {
        r->found[number][i] = value[i] % r->modulo[i].p;
    }
}

static ulong pick_prime(void)
{
    ulong prime = 0;
    while (!n_is_prime(prime)) {
        if (getrandom(&prime, sizeof prime, 0) != sizeof prime) {
            fail(BROKEN, "the kernel has no random numbers");
        }
        prime = prime >> 4 | (ulong)1 << 60 | 1;
    }
    return prime;
}

// Whether x² + r is 5·10^(2·digits) modulo random primes.
static bool holds_modulo(const ulong *x, const ulong *r, size_t size, size_t digits)
{
    residues all = {.number = {x, r}, .size = size};
    for (int i = 0; i < RANDOM_PRIMES; i++) {
        all.modulo[i] = make_field(pick_prime());
    }
    run_tasks(reduce, &all, 2);
    bool holds = true;
    for (int i = 0; i < RANDOM_PRIMES; i++) {
        ulong p = all.modulo[i].p, inverse = n_preinvert_limb(p);
        ulong wanted = n_powmod2_ui_preinv(10, 2 * digits, p, inverse);
        wanted = n_mulmod2_preinv(5, wanted, p, inverse);
        ulong square = n_mulmod2_preinv(all.found[0][i], all.found[0][i], p, inverse);
        holds = holds && n_addmod(square, all.found[1][i], p) == wanted;
    }
    return holds;
}

static ulong raise_ten(size_t exponent)
{
    ulong power = 1;
    while (exponent--) {
        power *= 10;
    }
    return power;
}

// Compares a with 2x, both of `size` limbs.
static int compare_with_double(const ulong *a, const ulong *x, size_t size)
{
    ulong rest = 0; // of a, less 2x, as far as compared; in units of the limb
    for (size_t i = size; i-- > 0;) {
        ulong have = rest * BASE + a[i], double_limb = 2 * x[i];
        if (have < double_limb) {
            return -1;
        }
        rest = have - double_limb;
        if (rest > 2) {
            return 1; // the limbs below make less than 2 of it
        }
    }
    return rest > 0;
}

verdict check_root(size_t digits)
{
    ulong *read = read_digits(digits);
    if (!read) {
        return NO_DIGITS;
    }
    // x = 10^n + 2·decimals, or one more: 2φ - 1 is √5, and φ was cut. One limb more has room.
    size_t size = (digits - 1) / LIMB_DIGITS + 2;
    ulong *x = flint_realloc(read, size * sizeof *x);
    x[size - 1] = 0;
    scale_cyclic(x, size, 2);
    add_cyclic(x, size, digits / LIMB_DIGITS, raise_ten(digits % LIMB_DIGITS));

    // r is smaller than the modulus of the cyclic square, so that one tells all of it.
    size_t cycle = find_size(size + 1);
    ulong *r = multiply_cyclic(cycle, x, size, x, size);
    negate_cyclic(r, cycle);
    ulong power = 5 * raise_ten(2 * digits % LIMB_DIGITS);
    add_cyclic(r, cycle, 2 * digits / LIMB_DIGITS % cycle, power);
    bool small = true;
    for (size_t i = size; i < cycle; i++) {
        small = small && r[i] == 0;
    }
    if (small && compare_with_double(r, x, size) > 0) {
        // One more, then: r - 2x - 1.
        ulong borrow = 1;
        for (size_t i = 0; i < size; i++) {
            ulong less = 2 * x[i] + borrow;
            borrow = 0;
            while (r[i] < less) {
                r[i] += BASE;
                borrow++;
            }
            r[i] -= less;
        }
        add_cyclic(x, size, 0, 1);
        small = borrow == 0 && compare_with_double(r, x, size) <= 0;
    }
    bool right = small && holds_modulo(x, r, size, digits);
    flint_free(x);
    return right ? RIGHT : WRONG_DIGIT;
}

// Sets f and next to F(k) and F(k+1), by doubling.
static void find_fibonacci(fmpz_t f, fmpz_t next, ulong k)
{
    fmpz_t square, other;
    fmpz_init(square);
    fmpz_init(other);
    fmpz_zero(f);
    fmpz_one(next);
    for (int bit = 63; bit >= 0; bit--) {
        fmpz_mul(square, f, f);
        fmpz_mul_2exp(other, next, 1);
        fmpz_sub(other, other, f);
        fmpz_mul(f, f, other); // F(2k) = F(k)·(2·F(k+1) - F(k))
        fmpz_mul(next, next, next);
        fmpz_add(next, next, square);
        if (k >> bit & 1) {
            fmpz_add(f, f, next);
            fmpz_swap(f, next);
        }
    }
    fmpz_clear(square);
    fmpz_clear(other);
}

verdict check_ratio(size_t digits)
{
    char *text = flint_malloc(digits + 2);
    fmpz_t phi, power, f, next;
    if (!copy_digits(text, digits)) {
        flint_free(text);
        return NO_DIGITS;
    }
    fmpz_init(phi);
    fmpz_init(power);
    fmpz_init(f);
    fmpz_init(next);
    int wrong = fmpz_set_str(phi, text, 10);
    flint_free(text);
    // |φ - F(k+1)/F(k)| < 1/F(k)², which is less than 10^-(digits+40): F(k) has 0.2089·k digits.
    find_fibonacci(f, next, (ulong)((double)(digits + 50) / 2 / 0.2089) + 1);
    fmpz_ui_pow_ui(power, 10, digits);
    fmpz_mul(next, next, power);
    fmpz_clear(power);
    fmpz_submul(next, phi, f);
    bool right = !wrong && fmpz_sgn(next) >= 0 && fmpz_cmp(next, f) < 0;
    fmpz_clear(phi);
    fmpz_clear(f);
    fmpz_clear(next);
    return right ? RIGHT : WRONG_DIGIT;
}
