#!/usr/bin/env bash
# Counts the primes up to the first argument, by trial division.
set -euo pipefail
limit=${1:-1000}
primes=(2)

for ((number = 3; number <= limit; number += 2)); do
    for prime in "${primes[@]}"; do
        ((prime * prime > number)) && break
        ((number % prime == 0)) && continue 2
    done
    primes+=("$number")
done

echo "${#primes[@]} primes up to $limit, bash $BASH_VERSION" >&2
printf '{"name": "primes", "component": "bash", "@parameters": {"limit": %d}, "@result": {"primes": %d}}\n' \
    "$limit" "${#primes[@]}"
