// What the program tells: lines for people, a state file for programs, and how it ends.
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    DONE = 0,
    BROKEN = 1,        // a fault of the program or of the machine
    BAD_VALUE = 2,     // an argument or a variable
    OUT_OF_MEMORY = 3, // more digits than there is memory for
    WRONG = 4,         // a digit is wrong
    NO_FILE = 5,       // a file is missing, or can't be read or written
    IN_USE = 6,        // another run has the work directory
    STOPPED = 143      // by a signal; the next run goes on
};

// What the state file tells.
typedef struct {
    const char *phase;
    const char *verify;
    size_t digits;
    int threads;
    size_t step, steps;
    bool verified;
    bool timed; // whether it is known what the digits took; the file has digits-per-second then
} state;

// Begins to tell of a run: there is a state file from now on, and SIGTERM and SIGINT end it. To be
// called before there is any other thread.
void begin_reports(const state *first);

// The seconds that the digits have taken, in earlier runs, too.
double get_seconds(void);
void set_seconds(double taken);
// From now on they are these: what is told and what is saved are the same.
void stop_seconds(double taken);

// Puts a state into the state file.
void show_state(const state *now);

// Prints a line for people.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Ends the program with a code and a line that says why.
_Noreturn void fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Writes a number as people read it, such as 1,000,000, into a text that lives until the fourth
// call after it.
const char *group(size_t number);

#endif
