"""The search for Mersenne primes: its programs, their work, and what they found."""
