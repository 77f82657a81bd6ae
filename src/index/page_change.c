/*
 * page_change.c
 *	  A change of pages of an index that is one record of the log.
 */
#include "index/page_change.h"

#include "access/xloginsert.h"
#include "miscadmin.h"

void
PageChangeBegin(PageChange *self, const IndexFile *file, bool log)
{
	self->file = file;
	self->state = log ? GenericXLogStart(file->rel) : NULL;
	self->nbuffers = 0;
}

/*
 * The page to change.  fresh: it is written anew, so log it whole.  Otherwise its
 * head is looked at first: what adds items, and what logs, would copy by it.
 */
Page
PageChangePage(PageChange *self, Buffer buffer, bool fresh)
{
	const char *fault;

	Assert(self->nbuffers < MAX_GENERIC_XLOG_PAGES);
	Assert(BufferIsLockedExclusively(buffer));
	for (int i = 0; i < self->nbuffers; i++)
		Assert(self->buffers[i] != buffer);
	if (!fresh && (fault = IndexPageFault(self->file->form, BufferGetPage(buffer))) != NULL)
		IndexCorrupt(self->file->rel, self->file->form, BufferGetBlockNumber(buffer), fault);
	self->buffers[self->nbuffers++] = buffer;
	if (self->state == NULL)
		return BufferGetPage(buffer);
	return GenericXLogRegisterBuffer(self->state, buffer, fresh ? GENERIC_XLOG_FULL_IMAGE : 0);
}

void
PageChangeEnd(PageChange *self)
{
	for (int i = 0; i < self->nbuffers; i++)
		Assert(BufferIsLockedExclusively(self->buffers[i]));
	if (self->state != NULL)
		GenericXLogFinish(self->state);
	else
	{
		for (int i = 0; i < self->nbuffers; i++)
			MarkBufferDirty(self->buffers[i]);
	}
}

/*
 * End a change of a page of an unlogged relation's init fork, which was begun
 * without a log.  That fork is logged, unlike the relation's main fork: a crash
 * makes the main fork from it.
 */
void
PageChangeEndInit(PageChange *self)
{
	Assert(self->state == NULL);
	START_CRIT_SECTION();
	PageChangeEnd(self);
	for (int i = 0; i < self->nbuffers; i++)
		log_newpage_buffer(self->buffers[i], true);
	END_CRIT_SECTION();
}
