/*
 * page_change.h
 *	  A change of pages of an index that is one record of the log.
 *
 * It is of up to four pages and logged by GenericXLog; while an index is built it is
 * not logged at all, for the build logs whole pages at its end.  The caller holds
 * exclusive locks on the buffers until the change has ended, and between begin and
 * end raises no error but that of a page that is not sound.
 *
 *	PageChangeBegin(&change, file, log);
 *	page = PageChangePage(&change, buffer, false);
 *	... write to page, which may be a copy of the buffer's ...
 *	PageChangeEnd(&change);
 */
#ifndef INDEX_PAGE_CHANGE_H
#define INDEX_PAGE_CHANGE_H

#include "pgcompat.h"

#include "access/generic_xlog.h"
#include "index/index_file.h"

typedef struct PageChange
{
	const IndexFile *file;
	GenericXLogState *state;	/* NULL: not logged */
	Buffer		buffers[MAX_GENERIC_XLOG_PAGES];
	int			nbuffers;
} PageChange;

extern void PageChangeBegin(PageChange *self, const IndexFile *file, bool log);
extern Page PageChangePage(PageChange *self, Buffer buffer, bool fresh);
extern void PageChangeEnd(PageChange *self);
extern void PageChangeEndInit(PageChange *self);

#endif							/* INDEX_PAGE_CHANGE_H */
