/*
 * yardstick.cpp
 *	  hnswlib in memory, without SQL: what the same algorithm does where there
 *	  is no server around it.
 *
 *	yardstick build METRIC BASE INDEX M EF_CONSTRUCTION THREADS
 *		prints seconds, and bytes of the saved index
 *	yardstick search METRIC QUERY TRUTH INDEX SECONDS EF...
 *		prints a line "ef recall queries-per-second" for each EF, one thread
 *
 * Metric is l2 or cosine; for cosine, vectors are normalised and compared by
 * inner product.
 */
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/stat.h>

#include <hnswlib/hnswlib.h>

#include "vectors.h"

#define K 10

typedef hnswlib::HierarchicalNSW<float> Index;

static double
now()
{
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static std::unique_ptr<hnswlib::SpaceInterface<float>>
make_space(bool cosine, int dim)
{
	if (cosine)
		return std::make_unique<hnswlib::InnerProductSpace>(dim);
	return std::make_unique<hnswlib::L2Space>(dim);
}

static Vectors
read_for(bool cosine, const char *path)
{
	Vectors		vectors = vectors_read(path);

	if (cosine)
		vectors_normalise(&vectors);
	return vectors;
}

static void
build(bool cosine, const char *base_path, const char *index_path, int m, int ef_construction, int nthreads)
{
	Vectors		base = read_for(cosine, base_path);
	auto		space = make_space(cosine, base.dim);
	double		began = now();
	Index		index(space.get(), base.n, m, ef_construction);
	std::atomic<int> next(0);
	std::vector<std::thread> threads;
	struct stat file;

	for (int i = 0; i < nthreads; i++)
		threads.emplace_back([&] {
			for (int row; (row = next++) < base.n;)
				index.addPoint(vectors_row(&base, row), row);
		});
	for (auto &thread : threads)
		thread.join();
	double		seconds = now() - began;

	index.saveIndex(index_path);
	if (stat(index_path, &file) != 0)
		fail("could not write %s", index_path);
	printf("%.2f %lld\n", seconds, (long long) file.st_size);
}

static void
search(bool cosine, const char *query_path, const char *truth_path, const char *index_path, double seconds,
	   int nefs, char **efs)
{
	Vectors		query = read_for(cosine, query_path);
	Truth		truth = truth_read(truth_path);
	auto		space = make_space(cosine, query.dim);
	Index		index(space.get(), index_path);

	if (truth.n != query.n)
		fail("there are %d queries, and answers to %d", query.n, truth.n);
	for (int e = 0; e < nefs; e++)
	{
		int			hits = 0;
		int			done = 0;
		double		began;
		double		elapsed;

		index.setEf(atoi(efs[e]));
		for (int q = 0; q < query.n; q++)
		{
			auto		result = index.searchKnn(vectors_row(&query, q), K);
			int			found[K];
			int			n = 0;

			for (; !result.empty(); result.pop())
				found[n++] = result.top().second;
			hits += truth_hits(&truth, q, found, n, K);
		}
		began = now();
		do
		{
			for (int i = 0; i < 20; i++, done++)
				index.searchKnn(vectors_row(&query, done % query.n), K);
			elapsed = now() - began;
		} while (elapsed < seconds);
		printf("%s %.5f %.2f\n", efs[e], hits / ((double) K * query.n), done / elapsed);
		fflush(stdout);
	}
}

int
main(int argc, char **argv)
{
	std::string verb = argc > 1 ? argv[1] : "";
	bool		cosine = argc > 2 && strcmp(argv[2], "cosine") == 0;

	try
	{
		if (verb == "build" && argc == 8)
			build(cosine, argv[3], argv[4], atoi(argv[5]), atoi(argv[6]), atoi(argv[7]));
		else if (verb == "search" && argc > 7)
			search(cosine, argv[3], argv[4], argv[5], atof(argv[6]), argc - 7, argv + 7);
		else
			fail("usage: yardstick build|search METRIC ...");
	}
	catch (const std::exception &e)
	{
		fail("hnswlib: %s", e.what());
	}
	return 0;
}
