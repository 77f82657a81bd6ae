/*
 * validate.h
 *	  Validation of an operator class of an index that gives rows in the order of a
 *	  distance.
 */
#ifndef INDEX_VALIDATE_H
#define INDEX_VALIDATE_H

#include "pgcompat.h"

extern bool IndexValidateOpclass(Oid opclass);

#endif							/* INDEX_VALIDATE_H */
