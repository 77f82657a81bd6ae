#!/usr/bin/perl
#
# report.pl DIRECTORY
#	  From DIRECTORY/results.json: results.md, a table of goals and figures, and
#	  for each set a curve of rate against recall, SET.svg.
#
# A rate at a recall is interpolated between the two points around it, on
# logarithmic scales of rate and of what is missed.  Where even the first point
# has more recall, its rate is a lower bound, which is marked.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));
use JSON::PP;
use FindBin;
use lib "$FindBin::RealBin/../t";
use HnswDistributions qw(@CASES @FORMS case_name);

my ($DIR) = @ARGV;
die "usage: report.pl DIRECTORY\n" unless defined $DIR;

my @SETS = qw(fashion glove synthetic);
my %TITLE = (
	fashion => 'Fashion-MNIST, 60,000 × 784, L2',
	glove => 'GloVe words, 340,479 × 100, cosine',
	synthetic => 'synthetic, 100,000 × 1,536, cosine');
my %NAME = (fashion => 'fashion', glove => 'glove', synthetic => '1,536-d', distributions => 'small');

# Ratio of rates to pgvector's at a recall, and at equal ef_search from 320 on; to each
# library's at these recalls; of index sizes; of the size with a smaller code; the recall
# at which blocks are compared.
my %GOAL = (
	fashion => { rate => [ [ 0.99, 8 ] ], equal => 3, size => 1.0, cold => 0.99 },
	glove => {
		rate => [ [ 0.90, 8 ], [ 0.95, 15 ], [ 0.98, 12 ] ], equal => 5,
		size => 2.5, small => 1.6, cold => 0.95
	},
	synthetic => { rate => [ [ 0.95, 15 ] ], equal => 3, size => 1.0, cold => 0.95 });
my @LIBRARIES = qw(hnswlib faiss);
my @LIBRARY_RECALL = (0.90, 0.95, 0.99, 0.999, 0.9995);
# Of wide searches: ratio of rates at equal ef_search; the part of the rows that is rechecked; of range searches: ratio of times
my %WIDE_GOAL = ('100 200' => 4, '500 1000' => 3);
my $RECHECKED_GOAL = 0.05;
my $RANGE_GOAL = 20;
my $BUILD_GOAL = 5;
my %COLOUR = (vecdb => '#0b62c4', pgvector => '#d1570b', hnswlib => '#6b6b6b', faiss => '#3d8b52');
my @SYSTEMS = ('vecdb', 'pgvector', @LIBRARIES);

my $R = do
{
	open my $fh, '<:raw', "$DIR/results.json" or die "could not read $DIR/results.json: $!\n";
	local $/;
	decode_json(<$fh>);
};
my @lines;
my %commits;

# ---------------------------------------------------------------------
# Figures
# ---------------------------------------------------------------------

sub row
{
	my ($set, $row) = @_;
	my $found = $R->{sets}{$set}{rows}{$row} or return;

	push @{ $commits{ $found->{commit} } }, "$set/$row";
	return $found;
}

sub number
{
	my ($n, $digits) = @_;

	return '–' unless defined $n;
	my $text = sprintf '%.*f', $digits // ($n >= 100 ? 0 : $n >= 10 ? 1 : 2), $n;
	my ($whole, $rest) = $text =~ /^(-?[0-9]+)(.*)$/;
	1 while $whole =~ s/^(-?[0-9]+)([0-9]{3})/$1,$2/;
	return $whole . $rest;
}

# at RECALL FIELD POINTS: the interpolated value of a field, and whether it is
# only a bound; nothing where no point has that recall.
sub at
{
	my ($want, $field, $points) = @_;
	my @p = sort { $a->{ef} <=> $b->{ef} } grep { defined $_->{$field} } @{ $points // [] };
	my $lost = sub { my $l = 1 - $_[0]; log($l < 1e-5 ? 1e-5 : $l) };

	return unless @p;
	return ($p[0]{$field}, 1) if $p[0]{recall} >= $want;
	for my $i (reverse 0 .. $#p - 1)
	{
		my ($p, $q) = @p[ $i, $i + 1 ];
		next unless $p->{recall} < $want && $q->{recall} >= $want;
		my $part = ($lost->($want) - $lost->($p->{recall})) / ($lost->($q->{recall}) - $lost->($p->{recall}));
		return (exp(log($p->{$field} || 1e-3) + $part * (log($q->{$field} || 1e-3) - log($p->{$field} || 1e-3))), 0);
	}
	return;
}

# line WHAT, SET, vecdb, peer, RATIO, GOAL, MET, NOTE
sub line
{
	my ($what, $set, $ours, $theirs, $ratio, $goal, $met) = @_;

	push @lines, [ $what, $NAME{$set}, $ours, $theirs, $ratio, $goal, !defined $met ? '' : $met ? 'met' : '**missed**' ];
}

# A rate at a recall, ours and a peer's
sub rate_line
{
	my ($what, $set, $want, $field, $points, $peer, $goal) = @_;
	my ($ours, $ours_bound) = at($want, $field, $points->{vecdb});
	my ($theirs, $theirs_bound) = at($want, $field, $points->{$peer});
	my $ratio = defined $ours && defined $theirs ? $ours / $theirs : undef;
	my $mark = sub { my ($n, $bound) = @_; defined $n ? ($bound ? '≥ ' : '') . number($n) : 'not reached' };

	# Who does not reach a recall is behind who does.
	my $met = defined $ours && (defined $theirs ? $ratio >= ($goal // 0) : 1);
	line(sprintf('%s, recall %s, queries a second%s', $what, $want =~ /^0\.[0-9]$/ ? "${want}0" : $want, $peer eq 'pgvector' ? '' : ", beside $peer"), $set,
		$mark->($ours, $ours_bound), $mark->($theirs, $theirs_bound),
		defined $ratio ? ($ours_bound && !$theirs_bound ? '≥ ' : $theirs_bound && !$ours_bound ? '≤ ' : '') . number($ratio, 2) . ' ×' : '–',
		defined $goal ? "≥ $goal ×" : '', defined $goal && (defined $ours || defined $theirs) ? $met : undef);
}

# Rates at the same ef_search, where it is large
sub equal_ef_lines
{
	my ($set, $inside, $goal) = @_;
	my %theirs = map { $_->{ef} => $_ } @{ $inside->{pgvector} // [] };

	for my $ours (grep { $_->{ef} >= 320 && $theirs{ $_->{ef} } } @{ $inside->{vecdb} // [] })
	{
		my $peer = $theirs{ $ours->{ef} };
		my $ratio = $ours->{rate1} / $peer->{rate1};

		line("inside the server, ef_search $ours->{ef}, queries a second", $set, number($ours->{rate1}), number($peer->{rate1}), number($ratio, 2) . ' ×', "≥ $goal ×", $ratio >= $goal);
	}
}

sub milliseconds { return number($_[0], $_[0] < 10 ? 3 : 1) . ' ms' }

sub wide_lines
{
	my ($set, $wide) = @_;

	for my $k (sort { $a <=> $b } keys %{ $wide->{off} })
	{
		my $points = $wide->{off}{$k};
		my ($ours, $theirs) = @$points{qw(vecdb pgvector)};

		for my $i (0 .. $#$ours)
		{
			my $goal = $WIDE_GOAL{"$k $ours->[$i]{ef}"} or next;
			my $ratio = $ours->[$i]{rate1} / $theirs->[$i]{rate1};

			line(sprintf('%d rows, ef_search %d; recall %.4f, %.4f', $k, $ours->[$i]{ef}, $ours->[$i]{recall}, $theirs->[$i]{recall}), $set,
				milliseconds(1000 / $ours->[$i]{rate1}), milliseconds(1000 / $theirs->[$i]{rate1}), number($ratio, 2) . ' ×', "≥ $goal ×", $ratio >= $goal);
			line("$k rows, ef_search $ours->[$i]{ef}: rows read again from the table", $set, number(100 * $ours->[$i]{rechecked}, 1) . ' %', '', '',
				$k == 500 ? sprintf('≤ %d %%', 100 * $RECHECKED_GOAL) : '', $k == 500 ? $ours->[$i]{rechecked} <= $RECHECKED_GOAL : undef);
		}
		for my $recall (@LIBRARY_RECALL)
		{
			rate_line($k == 1 ? '1 row' : "$k rows", $set, $recall, 'rate1', $points, $_, $_ eq 'pgvector' ? undef : 1) for 'pgvector', @LIBRARIES;
		}
	}
	my ($off, $strict) = @{ $wide->{strict} }{qw(off strict_order)};
	for my $i (0 .. $#{ $off->{vecdb} })
	{
		my ($a, $b) = ($off->{vecdb}[$i], $strict->{vecdb}[$i]);
		my ($c, $d) = ($off->{pgvector}[$i], $strict->{pgvector}[$i]);

		line("strict_order, $a->{k} rows, ef_search $a->{ef}, against off", $set, number($a->{rate1} / $b->{rate1}, 2) . ' × the time', number($c->{rate1} / $d->{rate1}, 2) . ' × the time',
			sprintf('recall %+.4f', $b->{recall} - $a->{recall}), '≤ 1 ×, ≥ 0', $a->{rate1} <= $b->{rate1} * 1.02 && $b->{recall} >= $a->{recall});
	}
}

sub range_lines
{
	my ($set, $range) = @_;
	my ($ours, $theirs) = @{ $range->{hundredth} }{qw(vecdb pgvector)};
	my $nobody = $range->{nobody};
	my $ratio = $theirs->{ms} / $ours->{ms};

	line(sprintf('a distance bound that 1 %% of the rows meet; of those found %.4f, %.4f', $ours->{found}, $theirs->{found}), $set,
		milliseconds($ours->{ms}), milliseconds($theirs->{ms}), number($ratio, 2) . ' ×', "≥ $RANGE_GOAL ×, ≥ 0.98", $ratio >= $RANGE_GOAL && $ours->{found} >= 0.98);
	line('a distance bound that no row meets', $set, milliseconds($nobody->{vecdb}{ms}), milliseconds($nobody->{pgvector}{ms}), number($nobody->{pgvector}{ms} / $nobody->{vecdb}{ms}, 0) . ' ×', '≤ 1 ms', $nobody->{vecdb}{ms} <= 1);
}

sub median
{
	my @v = sort { $a <=> $b } @_;

	return @v % 2 ? $v[ $#v / 2 ] : ($v[ @v / 2 - 1 ] + $v[ @v / 2 ]) / 2;
}

# Two clients against one: the median over all ef
sub two_line
{
	my ($what, $set, $points, $goal) = @_;
	my %ratio;

	for my $system (qw(vecdb pgvector))
	{
		my @r = map { $_->{rate2} / $_->{rate1} } grep { $_->{rate1} && $_->{rate2} } @{ $points->{$system} // [] };
		$ratio{$system} = median(@r) if @r;
	}
	return unless defined $ratio{vecdb};
	line("$what, two clients against one", $set, number($ratio{vecdb}) . ' ×', defined $ratio{pgvector} ? number($ratio{pgvector}) . ' ×' : '–', '', "≥ $goal ×",
		$ratio{vecdb} >= $goal);
}

sub seconds
{
	my ($build) = @_;

	return ($build->{stopped} ? '> ' : '') . number($build->{seconds}, 1) . ' s';
}

sub megabytes { return number($_[0] / 1048576, 0) . ' MB' }

sub build_lines
{
	my ($set, $memory, $row) = @_;
	my ($ours, $theirs) = @$row{qw(vecdb pgvector)};
	my $ratio = $theirs->{seconds} / $ours->{seconds};

	line("build, two processes, $memory", $set, seconds($ours), seconds($theirs), ($theirs->{stopped} ? '≥ ' : '') . number($ratio, 2) . ' ×', "≥ $BUILD_GOAL ×",
		!$ours->{stopped} && $ratio >= $BUILD_GOAL);
	for my $library (grep { $row->{$_} } @LIBRARIES)
	{
		my $peer = $row->{$library};

		line("build, beside $library with two threads", $set, seconds($ours), seconds($peer), number($peer->{seconds} / $ours->{seconds}, 2) . ' ×', '≥ 1 ×', $peer->{seconds} >= $ours->{seconds});
		line("memory of the build, beside $library and without its vectors", $set, megabytes($ours->{touched}), megabytes($peer->{memory}), number($ours->{touched} / $peer->{memory}, 2) . ' ×', '')
		  if $peer->{memory};
	}
	return if $ours->{stopped} || $theirs->{stopped};
	line("recall at ef_search 40 of the index built with $memory", $set, number($ours->{recall40}, 4), number($theirs->{recall40}, 4), sprintf('%+.4f', $ours->{recall40} - $theirs->{recall40}), '≥ 0',
		$ours->{recall40} >= $theirs->{recall40});
	# With little to use, both use what they are given.
	my $bound = $memory eq '1 GB';
	line("memory of the build with $memory, touched", $set, megabytes($ours->{touched}), megabytes($theirs->{touched}), number($ours->{touched} / $theirs->{touched}, 2) . ' ×',
		$bound ? '≤ 0.5 ×' : '', $bound ? $ours->{touched} <= $theirs->{touched} / 2 : undef);
	line("memory of the build with $memory, held", $set, megabytes($ours->{held}), megabytes($theirs->{held}), number($ours->{held} / $theirs->{held}, 2) . ' ×', '');
}

for my $set (@SETS)
{
	my $goal = $GOAL{$set};

	if (my $inside = row($set, 'inside'))
	{
		rate_line('inside the server', $set, $_->[0], 'rate1', $inside, 'pgvector', $_->[1]) for @{ $goal->{rate} };
		equal_ef_lines($set, $inside, $goal->{equal});
		for my $library (@LIBRARIES)
		{
			rate_line('inside the server', $set, $_, 'rate1', $inside, $library, 1) for @LIBRARY_RECALL;
		}
		two_line('inside the server', $set, $inside, 1.9);
	}
	if (my $wide = row($set, 'wide')) { wide_lines($set, $wide) }
	if (my $range = row($set, 'range')) { range_lines($set, $range) }
	if (my $client = row($set, 'client'))
	{
		rate_line('through a client', $set, $_->[0], 'rate1', $client, 'pgvector', undef) for @{ $goal->{rate} };
		two_line('through a client', $set, $client, 1.9);
	}
	if (my $recall = $R->{sets}{$set}{recalls})
	{
		my ($ours, $theirs) = map { $recall->{$_}{at} } qw(vecdb pgvector);
		my @ef = sort { $a <=> $b } grep { defined $theirs->{$_} } keys %$ours;
		my ($least) = sort { $ours->{$a} - $theirs->{$a} <=> $ours->{$b} - $theirs->{$b} } @ef;
		line("recall at the same ef_search, $ef[0] to $ef[-1], where it is closest: $least", $set, number($ours->{$least}, 4), number($theirs->{$least}, 4),
			sprintf('%+.4f', $ours->{$least} - $theirs->{$least}), '≥ 0', $ours->{$least} >= $theirs->{$least})
		  if @ef;
	}
	for (grep { $_ } row($set, 'build')) { build_lines($set, '1 GB', $_) }
	for (grep { $_ } row($set, 'build64')) { build_lines($set, '64 MB', $_) }
	if (my $size = row($set, 'size'))
	{
		my ($ours, $theirs) = map { $size->{$_}{bytes} } qw(vecdb pgvector);
		line('index size', $set, megabytes($ours), megabytes($theirs), number($ours / $theirs, 2) . ' ×', "≤ $goal->{size} ×", $ours / $theirs <= $goal->{size});
		my $small;
		for my $bits (sort { $b <=> $a } map { /^bits([0-9]+)$/ ? $1 : () } keys %$size)
		{
			my $build = $size->{"bits$bits"};
			next if $build->{stopped};
			my $ratio = $build->{bytes} / $theirs;
			$small = 1 if $ratio <= $goal->{small};
			line("index size with code_bits $bits, recall @{[ number($build->{recall40}, 4) ]} at ef_search 40", $set, megabytes($build->{bytes}), megabytes($theirs), number($ratio, 2) . ' ×',
				"≤ $goal->{small} ×", $ratio <= $goal->{small});
		}
	}
	if (my $cold = row($set, 'cold'))
	{
		my ($ours, $ours_bound) = at($goal->{cold}, 'read', $cold->{vecdb});
		my ($theirs, $theirs_bound) = at($goal->{cold}, 'read', $cold->{pgvector});
		line(sprintf('blocks read a query, %s of buffers, cold, recall %.2f', $cold->{buffers} =~ s/MB/ MB/r, $goal->{cold}), $set,
			($ours_bound ? '≤ ' : '') . number($ours), ($theirs_bound ? '≤ ' : '') . number($theirs),
			defined $ours && defined $theirs ? number($theirs / $ours, 2) . ' × fewer' : '–', '≥ 5 × fewer', defined $ours && defined $theirs && $theirs / $ours >= 5);
	}
}

# Many small sets: where ours is closest to pgvector's, or most below it.  The
# rest is a table of its own.
my $distributions = row('distributions', 'recall');
if ($distributions)
{
	my $cases = $distributions->{cases};
	my @points = map { my $name = $_; map { my $form = $_; map { [ $name, $form, $_, @{ $cases->{$name}{$form} }{qw(vecdb pgvector)} ] } 0, 1 } @FORMS } sort keys %$cases;
	my ($least) = sort { ($a->[3][ $a->[2] ] - $a->[4][ $a->[2] ]) <=> ($b->[3][ $b->[2] ] - $b->[4][ $b->[2] ]) } @points;
	my ($name, $form, $i, $ours, $theirs) = @$least;
	my $difference = $ours->[$i] - $theirs->[$i];

	# Two runs of pgvector differ by as much.
	line(sprintf('recall@20 of %d distributions, where it is closest: %s, %s, ef_search %d', scalar keys %$cases, $name, $form, (40, 100)[$i]),
		'distributions', number($ours->[$i], 4), number($theirs->[$i], 4), sprintf('%+.4f', $difference), '≥ −0.005', $difference >= -0.005);
}

# ---------------------------------------------------------------------
# results.md
# ---------------------------------------------------------------------

sub save
{
	my ($name, $text) = @_;

	open my $fh, '>', "$DIR/$name" or die "could not create $DIR/$name: $!\n";
	print $fh $text;
	close $fh or die "could not write $DIR/$name: $!\n";
}

my $met = grep { $_->[6] eq 'met' } @lines;
my $missed = grep { $_->[6] =~ /missed/ } @lines;
my $md = sprintf "PostgreSQL %s, vecdb %s, pgvector %s; m %d, ef_construction %d; %d queries, k = 10.\n%s.\n\n", $R->{server}, $R->{versions}{vecdb} // '?', $R->{versions}{pgvector} // '?',
  @{ $R->{options} }{qw(m ef_construction queries)}, $R->{machine};
$md .= "| | set | vecdb | peer | ratio | goal | |\n|---|---|---|---|---|---|---|\n";
$md .= '| ' . join(' | ', @$_) . " |\n" for @lines;
$md .= sprintf "\n%d goals met, %d missed.\n", $met, $missed;
if ($distributions)
{
	my $cases = $distributions->{cases};

	$md .= "\nRecall\@20 of distributions at ef_search 40 and 100; m 16, ef_construction 64:\n\n| | built, vecdb | pgvector | inserted, vecdb | pgvector | vacuumed, vecdb | pgvector |\n|---|---|---|---|---|---|---|\n";
	for my $name (grep { $cases->{$_} } map { case_name($_) } @CASES)
	{
		$md .= '| ' . join(' | ', $name, map { my $form = $_; map { join ', ', map { number($_, 4) } @{ $cases->{$name}{$form}{$_} } } qw(vecdb pgvector) } @FORMS) . " |\n";
	}
	$md .= "\n";
}
$md .= sprintf "Measured at commit %s%s\n", $_, keys %commits > 1 ? ': ' . join(', ', @{ $commits{$_} }) : '' for sort keys %commits;
save('results.md', $md);

# ---------------------------------------------------------------------
# Curves
# ---------------------------------------------------------------------

# Recall runs along an axis of what is missed, so that 0.9, 0.99 and 0.999 are
# equally far apart.
sub curve
{
	my ($set, $row) = @_;
	my ($width, $height, $left, $right, $top, $bottom) = (640, 400, 62, 24, 44, 48);
	my %points = map { $_ => $row->{$_} } grep { @{ $row->{$_} // [] } } @SYSTEMS;
	my @all = map { @$_ } values %points;
	my $along = sub { my $l = 1 - $_[0]; -log($l < 1e-4 ? 1e-4 : $l) };
	my ($x0, $x1) = (sort { $a <=> $b } map { $along->($_->{recall}) } @all)[ 0, -1 ];
	my ($y0, $y1) = (sort { $a <=> $b } map { log $_->{rate1} } @all)[ 0, -1 ];
	my $svg;

	($x0, $x1, $y0, $y1) = ($x0 - 0.15, $x1 + 0.15, $y0 - 0.2, $y1 + 0.2);
	my $x = sub { sprintf '%.1f', $left + ($along->($_[0]) - $x0) / ($x1 - $x0) * ($width - $left - $right) };
	my $y = sub { sprintf '%.1f', $height - $bottom - (log($_[0]) - $y0) / ($y1 - $y0) * ($height - $top - $bottom) };
	my ($xa, $xb, $ya, $yb) = ($left, $width - $right, $height - $bottom, $top);

	$svg = qq(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" width="$width" height="$height" font-family="sans-serif" font-size="12" fill="#222">\n);
	$svg .= qq(<rect width="$width" height="$height" fill="#fff"/>\n);
	$svg .= qq(<text x="$left" y="20" font-size="14" font-weight="bold">$TITLE{$set}</text>\n);
	$svg .= qq(<text x="$left" y="36" fill="#666">queries a second inside the server, one session, against recall@10</text>\n);
	for my $r (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995)
	{
		next if $along->($r) < $x0 || $along->($r) > $x1;
		my $at = $x->($r);
		$svg .= qq(<path d="M$at ${ya}V$yb" stroke="#e4e4e4"/><text x="$at" y="@{[ $ya + 18 ]}" text-anchor="middle">$r</text>\n);
	}
	for my $rate (map { my $e = 10**$_; map { $_ * $e } 1, 2, 5 } 0 .. 6)
	{
		next if log($rate) < $y0 || log($rate) > $y1;
		my $at = $y->($rate);
		$svg .= qq(<path d="M$xa ${at}H$xb" stroke="#e4e4e4"/><text x="@{[ $xa - 8 ]}" y="@{[ $at + 4 ]}" text-anchor="end">@{[ number($rate, 0) ]}</text>\n);
	}
	$svg .= qq(<path d="M$xa ${yb}V${ya}H$xb" fill="none" stroke="#888"/><text x="@{[ ($xa + $xb) / 2 ]}" y="@{[ $height - 10 ]}" text-anchor="middle" fill="#666">recall@10</text>\n);
	my $legend = $xb - 336;
	for my $system (grep { $points{$_} } @SYSTEMS)
	{
		my @p = sort { $a->{ef} <=> $b->{ef} } @{ $points{$system} };
		my $path = join 'L', map { $x->($_->{recall}) . ' ' . $y->($_->{rate1}) } @p;
		$svg .= qq(<path d="M$path" fill="none" stroke="$COLOUR{$system}" stroke-width="2"@{[ $system eq 'hnswlib' || $system eq 'faiss' ? ' stroke-dasharray="5 4"' : '' ]}/>\n);
		$svg .= sprintf qq(<circle cx="%s" cy="%s" r="3" fill="%s"><title>%s, ef_search %d: recall %.4f, %s queries a second</title></circle>\n),
		  $x->($_->{recall}), $y->($_->{rate1}), $COLOUR{$system}, $system, $_->{ef}, $_->{recall}, number($_->{rate1}, 0)
		  for @p;
		$svg .= qq(<circle cx="$legend" cy="@{[ $yb + 10 ]}" r="4" fill="$COLOUR{$system}"/><text x="@{[ $legend + 9 ]}" y="@{[ $yb + 14 ]}">$system</text>\n);
		$legend += 86;
	}
	return "$svg</svg>\n";
}

for my $set (@SETS)
{
	my $inside = $R->{sets}{$set}{rows}{inside} or next;
	save("$set.svg", curve($set, $inside));
}
