#!/usr/bin/perl
# Every hook tool is a link to this: it hands its name, arguments and standard input to the agent
# over a socket, and prints what comes back. In Perl because perl-base is on every Debian and
# Ubuntu and starts in a few milliseconds; a charm calls ten tools in a hook. Without the module
# Socket, which takes longer to load than all the rest: Linux has AF_UNIX = SOCK_STREAM = 1, and a
# sockaddr_un is the family (16 bit, native) and the path (unix(7)).
#
# Both ways a message is a count and so many strings, each with its length before it (32 bit,
# network byte order). The answer is: exit code, standard output, standard error.
use strict;

my ($name) = $0 =~ m{([^/]+)$};
my $address = $ENV{JUJU_AGENT_SOCKET_ADDRESS}
  or die "ERROR $name runs in a hook only: JUJU_AGENT_SOCKET_ADDRESS is not set\n";
my $stdin = "";
for my $i (1 .. $#ARGV) {
    if ($ARGV[$i] eq "-" && $ARGV[$i - 1] eq "--file") { local $/; $stdin = <STDIN> // ""; }
}

socket(my $agent, 1, 1, 0) or die "ERROR $name: socket: $!\n";
connect($agent, pack("S a*", 1, "$address\0")) or die "ERROR $name: no agent at $address: $!\n";
my @words = ($ENV{JUJU_CONTEXT_ID} // "", $name, $stdin, @ARGV);
my $message = pack("N", scalar @words) . join("", map { pack("N/a*", $_) } @words);
while (length $message) {
    my $sent = syswrite($agent, $message) // die "ERROR $name: the agent went away: $!\n";
    substr($message, 0, $sent, "");
}

sub receive {
    my ($length) = @_;
    my $data = "";
    while (length($data) < $length) {
        my $got = sysread($agent, $data, $length - length($data), length($data));
        die "ERROR $name: the agent went away\n" unless $got;
    }
    return $data;
}
my @answer = map { receive(unpack("N", receive(4))) } 1 .. unpack("N", receive(4));
binmode STDOUT;
binmode STDERR;
print STDOUT $answer[1];
print STDERR $answer[2];
exit $answer[0];
