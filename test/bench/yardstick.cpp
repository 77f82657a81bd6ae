/*
 * yardstick.cpp
 *	  hnswlib and faiss in memory, without SQL: what the same algorithm does where
 *	  there is no server around it.
 *
 *	yardstick LIBRARY build METRIC BASE INDEX M EF_CONSTRUCTION THREADS
 *		prints seconds, bytes of the saved index, and bytes of memory that the build
 *		took beyond the vectors that it was given
 *	yardstick LIBRARY search METRIC QUERY TRUTH INDEX SECONDS K EF...
 *		prints a line "ef recall queries-per-second" for each EF, one thread
 *
 * Library is hnswlib or faiss.  Metric is l2 or cosine; for cosine, vectors are
 * normalised.
 */
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <omp.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>
#include <hnswlib/hnswlib.h>

#include "vectors.h"

/* An index of a library: built from all vectors, or read from a file. */
class Library
{
public:
	virtual ~Library() = default;
	virtual void build(const Vectors &base, int m, int ef_construction, int nthreads) = 0;
	virtual void save(const char *path) = 0;
	virtual void load(const char *path, int dim) = 0;
	virtual void set_ef(int ef) = 0;
	/* The k nearest into found, in any order; returns how many there are. */
	virtual int search(const float *query, int k, int *found) = 0;
};

class Hnswlib : public Library
{
public:
	explicit Hnswlib(bool cosine) : cosine(cosine) {}

	void
	build(const Vectors &base, int m, int ef_construction, int nthreads) override
	{
		std::atomic<int> next(0);
		std::vector<std::thread> threads;

		make_space(base.dim);
		index = std::make_unique<Index>(space.get(), base.n, m, ef_construction);
		for (int i = 0; i < nthreads; i++)
			threads.emplace_back([&] {
				for (int row; (row = next++) < base.n;)
					index->addPoint(vectors_row(&base, row), row);
			});
		for (auto &thread : threads)
			thread.join();
	}

	void save(const char *path) override { index->saveIndex(path); }

	void
	load(const char *path, int dim) override
	{
		make_space(dim);
		index = std::make_unique<Index>(space.get(), path);
	}

	void set_ef(int ef) override { index->setEf(ef); }

	int
	search(const float *query, int k, int *found) override
	{
		auto		result = index->searchKnn(query, k);
		int			n = 0;

		for (; !result.empty(); result.pop())
			found[n++] = result.top().second;
		return n;
	}

private:
	typedef hnswlib::HierarchicalNSW<float> Index;

	void
	make_space(int dim)
	{
		if (cosine)
			space = std::make_unique<hnswlib::InnerProductSpace>(dim);
		else
			space = std::make_unique<hnswlib::L2Space>(dim);
	}

	bool		cosine;
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	std::unique_ptr<Index> index;
};

/* L2 of normalised vectors has the order of the cosine. */
class Faiss : public Library
{
public:
	void
	build(const Vectors &base, int m, int ef_construction, int nthreads) override
	{
		index = std::make_unique<faiss::IndexHNSWFlat>(base.dim, m);
		index->hnsw.efConstruction = ef_construction;
		omp_set_num_threads(nthreads);
		index->add(base.n, base.values);
	}

	void save(const char *path) override { faiss::write_index(index.get(), path); }

	void
	load(const char *path, int dim) override
	{
		index.reset(dynamic_cast<faiss::IndexHNSW *>(faiss::read_index(path)));
		if (index == nullptr || index->d != dim)
			fail("%s is not an index of %d dimensions", path, dim);
		omp_set_num_threads(1);
	}

	void set_ef(int ef) override { index->hnsw.efSearch = ef; }

	int
	search(const float *query, int k, int *found) override
	{
		int			n = 0;

		labels.resize(k);
		distances.resize(k);
		index->search(1, query, k, distances.data(), labels.data());
		for (int i = 0; i < k; i++)
			if (labels[i] >= 0)
				found[n++] = labels[i];
		return n;
	}

private:
	std::unique_ptr<faiss::IndexHNSW> index;
	std::vector<faiss::Index::idx_t> labels;
	std::vector<float> distances;
};

static double
now()
{
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/* The most memory that this process has had, in bytes */
static long long
peak()
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss * 1024LL;
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
build(Library &index, bool cosine, const char *base_path, const char *index_path, int m, int ef_construction,
	  int nthreads)
{
	Vectors		base = read_for(cosine, base_path);
	long long	memory = peak();
	double		began = now();
	struct stat file;

	index.build(base, m, ef_construction, nthreads);
	double		seconds = now() - began;

	memory = peak() - memory;
	index.save(index_path);
	if (stat(index_path, &file) != 0)
		fail("could not write %s", index_path);
	printf("%.2f %lld %lld\n", seconds, (long long) file.st_size, memory);
}

static void
search(Library &index, bool cosine, const char *query_path, const char *truth_path, const char *index_path,
	   double seconds, int k, int nefs, char **efs)
{
	Vectors		query = read_for(cosine, query_path);
	Truth		truth = truth_read(truth_path);
	std::vector<int> found(k);

	index.load(index_path, query.dim);
	if (truth.n != query.n)
		fail("there are %d queries, and answers to %d", query.n, truth.n);
	for (int e = 0; e < nefs; e++)
	{
		long		hits = 0;
		int			done = 0;
		double		began;
		double		elapsed;

		index.set_ef(atoi(efs[e]));
		for (int q = 0; q < query.n; q++)
		{
			int			n = index.search(vectors_row(&query, q), k, found.data());

			hits += truth_hits(&truth, q, found.data(), n, k);
		}
		began = now();
		do
		{
			for (int i = 0; i < 20; i++, done++)
				index.search(vectors_row(&query, done % query.n), k, found.data());
			elapsed = now() - began;
		} while (elapsed < seconds);
		printf("%s %.5f %.2f\n", efs[e], hits / ((double) k * query.n), done / elapsed);
		fflush(stdout);
	}
}

int
main(int argc, char **argv)
{
	std::string library = argc > 1 ? argv[1] : "";
	std::string verb = argc > 2 ? argv[2] : "";
	bool		cosine = argc > 3 && strcmp(argv[3], "cosine") == 0;
	std::unique_ptr<Library> index;

	if (library == "hnswlib")
		index = std::make_unique<Hnswlib>(cosine);
	else if (library == "faiss")
		index = std::make_unique<Faiss>();
	try
	{
		if (index != nullptr && verb == "build" && argc == 9)
			build(*index, cosine, argv[4], argv[5], atoi(argv[6]), atoi(argv[7]), atoi(argv[8]));
		else if (index != nullptr && verb == "search" && argc > 9 && atoi(argv[8]) > 0)
			search(*index, cosine, argv[4], argv[5], argv[6], atof(argv[7]), atoi(argv[8]), argc - 9, argv + 9);
		else
			fail("usage: yardstick hnswlib|faiss build|search METRIC ...");
	}
	catch (const std::exception &e)
	{
		fail("%s: %s", argv[1], e.what());
	}
	return 0;
}
