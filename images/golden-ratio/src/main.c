// Computes digits of the golden ratio, φ = (1 + √5)/2, and verifies them. README.md tells how to
// use it.

#define _GNU_SOURCE // for sched_getaffinity

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flint/flint.h>

#include "check.h"
#include "decimal.h"
#include "files.h"
#include "memory.h"
#include "newton.h"
#include "report.h"

#define LEAST_DIGITS ((size_t)1000)
#define MOST_DIGITS ((size_t)10000000000)
enum { MOST_THREADS = 256, SAVED_LIMBS = 1 << 12 }; // what is smaller takes milliseconds

static const char usage[] =
    "golden-ratio [compute | verify | digits FROM COUNT]; the variables DIGITS, THREADS, VERIFY "
    "(fast or full) and WORK are described in its README";

static size_t read_number(const char *name, const char *text, size_t least, size_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < least || value > most) {
        fail(BAD_VALUE, "%s is '%.40s'; it must be a number between %zu and %zu", name, text, least,
             most);
    }
    return (size_t)value;
}

static const char *get_variable(const char *name, const char *otherwise)
{
    const char *text = getenv(name);
    return text && *text ? text : otherwise;
}

static size_t count_cores(void)
{
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) ? 1 : CPU_COUNT(&cores);
    return count < MOST_THREADS ? (size_t)count : MOST_THREADS;
}

static int get_threads(void)
{
    const char *text = getenv("THREADS");
    return (int)(text && *text ? read_number("THREADS", text, 1, MOST_THREADS) : count_cores());
}

static bool wants_full(void)
{
    const char *text = get_variable("VERIFY", "fast");
    if (strcmp(text, "fast") && strcmp(text, "full")) {
        fail(BAD_VALUE, "VERIFY is '%.40s'; it must be fast or full", text);
    }
    return strcmp(text, "full") == 0;
}

static void check_memory(size_t digits, bool full)
{
    size_t memory = find_memory(), most = find_most_digits(memory, full);
    if (digits > most) {
        fail(OUT_OF_MEMORY, "%s digits need more than the %s MB of memory that there are; %s fit",
             group(digits), group(memory / 1000000), group(most));
    }
}

// Returns what is wrong with the digits in the file, or NULL.
static const char *check(size_t digits, bool full)
{
    verdict first = check_root(digits);
    release_products();
    verdict second = full && first != NO_DIGITS ? check_ratio(digits) : first;
    if (first == NO_DIGITS) {
        return "it is not 1. with digits alone and the end of a line";
    }
    if (first != second) {
        return "one formula finds a wrong digit, and the other none";
    }
    return first == RIGHT ? NULL : full ? "a digit is wrong, by both formulas" : "a digit is wrong";
}

static void save(const state *now, size_t size, const ulong *limbs)
{
    step saved = {now->digits, now->step, size, now->verified, get_seconds()};
    write_step(&saved, limbs);
}

// Returns the limbs of the step that was saved, or NULL.
static ulong *take_root(size_t digits, step *saved)
{
    ulong *root = read_step(digits, saved);
    if (root && saved->size != find_limbs(digits, saved->step)) {
        say("the file %s is of another version of this program", STEP_FILE);
        set_aside(STEP_FILE);
        flint_free(root);
        *saved = (step){0};
        return NULL;
    }
    return root;
}

// Takes the steps that are left, and writes the digits.
static void compute(state *now, ulong *root)
{
    now->phase = "computing";
    show_state(now);
    reserve_digits(now->digits);
    if (!root) {
        root = begin_root(find_limbs(now->digits, 0));
    }
    reserve_products(find_product_size(now->digits));
    size_t size = find_limbs(now->digits, now->step);
    while (now->step < now->steps) {
        size_t wanted = find_limbs(now->digits, now->step + 1);
        root = improve_root(root, size, wanted);
        if (!root) {
            set_aside(STEP_FILE);
            fail(BROKEN, "step %zu is wrong, so the next run starts over; this machine may be broken",
                 now->step);
        }
        size = wanted;
        now->step++;
        if (size >= SAVED_LIMBS && now->step < now->steps) {
            save(now, size, root);
            show_state(now);
            say("step %zu of %zu: %s digits after %.2f s, saved", now->step, now->steps,
                group(size * LIMB_DIGITS), get_seconds());
        }
    }
    now->phase = "writing";
    show_state(now);
    make_golden(root, size);
    write_digits(now->digits, root, size);
    flint_free(root);
    save(now, 0, NULL);
    say("step %zu of %zu: %s digits after %.2f s, in %s", now->step, now->steps,
        group(now->digits), get_seconds(), DIGITS_FILE);
}

// Verifies what an earlier run left, if it left all digits; returns whether they are right.
static bool take_over(state *now, bool full)
{
    if (count_digits() != now->digits) {
        return false;
    }
    say("%s has %s digits; verifying them", DIGITS_FILE, group(now->digits));
    now->phase = "verifying";
    show_state(now);
    const char *wrong = check(now->digits, full);
    if (wrong) {
        say("%s: %s", DIGITS_FILE, wrong);
        set_aside(DIGITS_FILE);
    }
    return !wrong;
}

// Verifies what this run has written.
static void verify_own(state *now, bool full)
{
    now->phase = "verifying";
    show_state(now);
    const char *wrong = check(now->digits, full);
    if (wrong) {
        set_aside(DIGITS_FILE);
        fail(WRONG, "%s: %s; this machine may be broken", DIGITS_FILE, wrong);
    }
}

static void finish(state *now)
{
    double seconds = get_seconds();
    stop_seconds(seconds);
    now->verified = true;
    now->phase = "done";
    now->step = now->steps;
    if (now->timed) {
        save(now, 0, NULL);
    }
    show_state(now);
    if (now->timed) {
        say("%s digits, verified; %s digits/s, %.2f s", group(now->digits),
            group((size_t)((double)now->digits / seconds)), seconds);
    } else {
        say("%s digits, verified", group(now->digits));
    }
}

static void run(size_t digits, int threads, bool full)
{
    state now = {.phase = "computing", .verify = full ? "full" : "fast", .digits = digits};
    now.threads = threads;
    now.steps = count_steps(digits);
    begin_reports(&now);
    check_memory(digits, full);
    flint_set_num_threads(threads);
    say("%s digits of the golden ratio, %d threads", group(digits), threads);

    step saved;
    ulong *root = take_root(digits, &saved);
    set_seconds(saved.seconds);
    now.step = saved.step;
    if (take_over(&now, full)) {
        now.timed = saved.step > 0;
        if (saved.verified) {
            stop_seconds(saved.seconds); // to verify them again was no part of it
        }
    } else {
        if (root) {
            say("going on after step %zu of %zu", now.step, now.steps);
        } else {
            now.step = 0;
            set_seconds(0);
        }
        compute(&now, root);
        verify_own(&now, full);
        now.timed = true;
    }
    finish(&now);
}

static size_t find_digits(void)
{
    size_t digits = count_digits();
    if (digits == 0) {
        fail(NO_FILE, "there is no %s with digits in the work directory", DIGITS_FILE);
    }
    return digits;
}

static void verify(int threads, bool full)
{
    size_t digits = find_digits();
    check_memory(digits, full);
    flint_set_num_threads(threads);
    const char *wrong = check(digits, full);
    if (wrong) {
        fail(WRONG, "%s, %s digits: %s", DIGITS_FILE, group(digits), wrong);
    }
    printf("%s digits, verified\n", group(digits));
}

static void show_digits(const char *from_text, const char *count_text)
{
    size_t digits = find_digits();
    size_t from = read_number("FROM", from_text, 1, digits);
    print_digits(from, read_number("COUNT", count_text, 1, digits - from + 1));
}

__attribute__((noreturn)) static void fail_without_memory(void)
{
    fail(OUT_OF_MEMORY, "the memory is used up");
}

int main(int count, char **words)
{
    flint_set_abort(fail_without_memory);
    const char *mode = count > 1 ? words[1] : "compute";
    const char *folder = get_variable("WORK", "/work");
    if (strcmp(mode, "compute") == 0 && count <= 2) {
        const char *wanted = get_variable("DIGITS", "1000000");
        size_t digits = read_number("DIGITS", wanted, LEAST_DIGITS, MOST_DIGITS);
        int threads = get_threads();
        bool full = wants_full();
        enter_directory(folder, true);
        run(digits, threads, full);
    } else if (strcmp(mode, "verify") == 0 && count == 2) {
        int threads = get_threads();
        bool full = wants_full();
        enter_directory(folder, false);
        verify(threads, full);
    } else if (strcmp(mode, "digits") == 0 && count == 4) {
        enter_directory(folder, false);
        show_digits(words[2], words[3]);
    } else {
        fail(BAD_VALUE, "usage: %s", usage);
    }
    return fflush(stdout) ? NO_FILE : DONE;
}
