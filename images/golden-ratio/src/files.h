// The files of the work directory, which is the current one. Whatever is written is there whole, or
// as it was before. What can't be read or written ends the program, where nothing else is said.
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "field.h"

#define DIGITS_FILE "phi.txt"
#define STEP_FILE "step"
#define STATE_FILE "state.json"
#define LOCK_FILE "lock"

// A step of the computation, as it is saved.
typedef struct {
    size_t digits;   // those that are wanted in the end
    size_t step;     // which one it is
    size_t size;     // the limbs that it made; none where the digits are written
    bool verified;   // whether the digits are
    double seconds;  // what it took until here
} step;

// Goes to the work directory, and keeps other runs out of it until the program ends, if asked to.
void enter_directory(const char *name, bool alone);

// Replaces a file by a few bytes; returns false where that fails.
bool replace_file(const char *name, const void *bytes, size_t size);

// Puts a file that is damaged or wrong, where there is one, under another name, out of the way.
void set_aside(const char *name);

// Saves a step with its limbs.
void write_step(const step *saved, const ulong *limbs);

// Returns the limbs of the step that was saved for so many digits, NULL where it has none; *saved
// is all zero then where there is no step. A file that is damaged or of other digits is set aside,
// and told.
ulong *read_step(size_t digits, step *saved);

// Takes the room on the disk that the digits will need.
void reserve_digits(size_t digits);

// Writes 1. and so many digits, which begin with the last of the limbs.
void write_digits(size_t digits, const ulong *limbs, size_t size);

// Returns how many digits a file has by its size; 0 where there is none.
size_t count_digits(void);

// Returns floor(φ·10^digits) - 10^digits as the file has it, in ceil(digits/14) limbs; NULL where
// something in it is not as it should be.
ulong *read_digits(size_t digits);

// Copies the digits as one number, 16180…, with an end; returns false where one is none.
bool copy_digits(char *text, size_t digits);

// Prints some of the digits, the first being 1.
void print_digits(size_t from, size_t count);

#endif
