/*
 * native.h
 *	  The native API: collections, vectors, search.  native.c has its routes; the
 *	  others what each does, within the transaction of a request, as its role.
 */
#ifndef VECDB_HTTP_NATIVE_H
#define VECDB_HTTP_NATIVE_H

#include "http/api.h"

extern const ApiSurface native_api;

/* native_collections.c; indexes and options that are NULL are the settings' */
extern void NativeCreate(const char *name, int dimensions, const char *metric, const char *index_type, int *m,
						 int *ef_construction, const char *storage, bool filter_index);
extern void NativeGetCollections(ApiAnswer *answer);
extern void NativeGetCollection(const char *name, ApiAnswer *answer, bool read_only);
extern void NativePostCollection(const ApiRequest *request, ApiAnswer *answer);
extern void NativeDeleteCollection(const char *name, ApiAnswer *answer);

/* native_vectors.c */
extern void NativePostVectors(const ApiRequest *request, ApiAnswer *answer);
extern void NativeGetVector(const ApiRequest *request, ApiAnswer *answer);
extern void NativeDeleteVector(const ApiRequest *request, ApiAnswer *answer);

/* The collection that has the vector of the request: the query names it, or else it is looked for. */
extern char *NativeCollectionOfVector(const ApiRequest *request);

/* A row of the result of a statement on ApiRowColumns(), as JSON. */
extern void NativeWriteVector(StringInfo out, uint64 row, const char *id, const char *collection);

/* native_rows.c */
extern void NativeListVectors(const ApiRequest *request, ApiAnswer *answer);
extern void NativeCountVectors(const ApiRequest *request, ApiAnswer *answer);
extern void NativeFetchVectors(const ApiRequest *request, ApiAnswer *answer);
extern void NativeDeleteVectors(const ApiRequest *request, ApiAnswer *answer);
extern void NativePatchVector(const ApiRequest *request, const char *collection, ApiAnswer *answer);

/* native_search.c */
extern void NativePostSearch(const ApiRequest *request, ApiAnswer *answer);

/* The parameter collection= of the query, or NULL; others are refused. */
extern char *NativeCollectionOfQuery(const ApiRequest *request);

#endif							/* VECDB_HTTP_NATIVE_H */
