/*
 * list.h
 *	  Lists as settings and headers have them: entries separated by commas, with
 *	  blanks around them.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * The next entry that is not empty: entry[len], without the blanks around it.  *at is
 * where the rest of the list begins, before and after.  False at the end.
 */
static inline bool
list_next(const char **at, const char **entry, size_t *len)
{
	const char *start = *at + strspn(*at, " \t,");
	size_t		n = strcspn(start, ",");

	*at = start + n;
	while (n > 0 && (start[n - 1] == ' ' || start[n - 1] == '\t'))
		n--;
	*entry = start;
	*len = n;
	return n > 0;
}

#endif							/* CORE_LIST_H */
