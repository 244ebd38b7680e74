#!/bin/sh
# Stands in for PrimeNet's server in tests: its web API, transaction version 0.95, as far as
# mprime and AutoPrimeNet use it (v5.mersenne.org/v5design), for busybox's httpd. It hands out the
# lines of /primenet/queue, `ll EXPONENT`, `prp EXPONENT` or `tf EXPONENT FROM TO`, and notes every
# request in /primenet/requests. Requests' security hashes are not looked at.
alias sed="/bin/busybox sed" grep="/bin/busybox grep" md5sum="/bin/busybox md5sum"
cd /primenet || exit 1

field() { echo "&$QUERY_STRING" | sed -n "s/.*&$1=\([^&]*\).*/\1/p"; }
reply() {  # code, detail, lines
    printf "pnErrorResult=%s\npnErrorDetail=%s\n" "$1" "$2"
    shift 2
    [ $# = 0 ] || printf "%s\n" "$@"
    echo "==END=="
    exit 0
}
need() {  # fields that must not be empty
    for name; do
        [ "$(field "$name")" ] || reply 7 "parameter $name: missing"
    done
}

printf "Content-Type: text/plain\r\n\r\n"
echo "$QUERY_STRING" >> requests
touch queue computers assigned
[ "$(field px)" = GIMPS ] && [ "$(field v)" = 0.95 ] || reply 4 "parameter px or v: invalid"
guid=$(field g)
[ "${#guid}" = 32 ] || reply 7 "parameter g: invalid"
if [ "$(field t)" = uc ]; then
    need hg a c u cn
    grep -q "^$guid" computers || echo "$guid" >> computers
    reply 0 SUCCESS "g=$guid" "u=$(field u)" "un=$(field u)" "cn=$(field cn)" od=1
fi
grep -q "^$guid" computers || reply 30 "CPU not registered"
key=$(field k)
case $(field t) in
ap | ar) grep -q "^$key\$" assigned || reply 43 "Invalid assignment key" ;;
esac
case $(field t) in
po) reply 0 SUCCESS "w=$(field w)" nw=1 od=1 ;;
ga)
    read -r kind exponent from to < queue || reply 40 "No assignment available"
    sed -i 1d queue
    key=$(echo "$kind $exponent" | md5sum | sed "s/ .*//; y/abcdef/ABCDEF/")
    echo "$key" >> assigned
    case $kind in
    tf) reply 0 SUCCESS "g=$guid" "k=$key" A=1 b=2 "n=$exponent" c=-1 w=2 "sf=$from" "ef=$to" ;;
    ll) reply 0 SUCCESS "g=$guid" "k=$key" A=1 b=2 "n=$exponent" c=-1 w=100 sf=75 p1=1 ;;
    prp) reply 0 SUCCESS "g=$guid" "k=$key" A=1 b=2 "n=$exponent" c=-1 w=150 sf=75 saved=0 ;;
    esac ;;
ap) need p d e && reply 0 SUCCESS ;;
ar)
    need r d m n
    case $(field r) in
    4) need sf ef ;;  # trial factoring found none
    100 | 150) need rd ;;  # a Lucas-Lehmer or a PRP test found a composite
    151) ;;  # a PRP test found a probable prime
    *) reply 45 "Invalid result type" ;;
    esac
    sed -i "/^$key\$/d" assigned
    reply 0 SUCCESS ;;
*) reply 5 "Invalid transaction" ;;
esac
