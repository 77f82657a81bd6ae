#!/usr/bin/perl
#
# idx.pl IMAGES.gz LABELS.gz [COUNT]
#	  Turn a pair of Fashion-MNIST files (IDX format) into COPY's binary format
#	  for a table (id integer, label text, embedding vector).
#
# IDX: two zero bytes, the type (8: unsigned byte), the number of dimensions,
# then each dimension as a big-endian int32, then the bytes.  vector in binary:
# int16 dimensions, int16 zero, the elements as big-endian float4.
use strict;
use warnings;

my @names = ('t-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot');
my @float = map { pack 'f>', $_ } 0 .. 255;

sub open_idx
{
	my ($path, $dims) = @_;

	open my $fh, '-|', 'gzip', '-dc', $path or die "could not run gzip: $!\n";
	binmode $fh;
	read($fh, my $head, 4 + 4 * $dims) == 4 + 4 * $dims or die "could not read $path\n";
	my ($zero, $type, $n, @size) = unpack 'nCCN*', $head;
	die "$path is not an IDX file of unsigned bytes with $dims dimensions\n"
	  unless $zero == 0 && $type == 8 && $n == $dims;
	return ($fh, @size);
}

my ($images, $labels, $count) = @ARGV;
die "usage: idx.pl IMAGES.gz LABELS.gz [COUNT]\n" unless defined $labels;
my ($img, $rows, $height, $width) = open_idx($images, 3);
my ($lab, $nlabels) = open_idx($labels, 1);
die "$images holds $rows images, $labels $nlabels labels\n" unless $rows == $nlabels;
$rows = $count if defined $count && $count < $rows;

my $dim = $height * $width;
my $vector_head = pack 'N n n', 4 + 4 * $dim, $dim, 0;

binmode STDOUT;
print "PGCOPY\n\xff\r\n\0", pack('N N', 0, 0);
for my $id (0 .. $rows - 1)
{
	read($img, my $pixels, $dim) == $dim && read($lab, my $label, 1) == 1
	  or die "$images or $labels ends after $id rows\n";
	my $name = $names[ ord $label ];

	print pack('n N N N/a*', 3, 4, $id, $name), $vector_head, @float[ unpack 'C*', $pixels ]
	  or die "could not write: $!\n";
}
print pack 'n', 0xffff;
close STDOUT or die "could not write: $!\n";
