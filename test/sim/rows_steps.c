/*
 * rows_steps.c
 *	  Three transactions of two rows each on three nodes, and one interruption: of every
 *	  kind, at every step.
 *
 * A step is an event of the world: a frame that arrives, a step of a job, a tick.
 */
#include "rows_world.h"

const Profile rows_steps = {.name = "steps", .nodes = {3, 3}, .keys = {3, 3}, .events = {3, 3}, .gap_ms = 2000,
.retention_ms = 60000, .job_ms = 30, .script = true};

const char *const interrupt_names[INTERRUPTS] = {"nothing", "break", "crash", "crash-other", "death", "death-other", "absence"};

/* One writes two rows, the next changes one and deletes the other, the last makes that anew. */
void
steps_act(World *self, int number)
{
	static const struct
	{
		int			key;
		StoreAct	act;
	}			script[3][2] = {
		{{0, STORE_INSERT_OR_UPDATE}, {1, STORE_INSERT_OR_UPDATE}},
		{{0, STORE_UPDATE_META}, {1, STORE_DELETE}},
		{{1, STORE_INSERT_OR_UPDATE}, {2, STORE_INSERT_OR_UPDATE}},
	};
	Store	   *store = self->node[number].store;
	int			writer = self->node[number].replica == NULL ? -1 : store_begin(store, true);

	if (writer < 0)
		return;
	for (int i = 0; i < 2; i++)
		(void) store_write(store, writer, script[number][i].key, script[number][i].act, ++self->next_value * 1000,
						   world_unix_us(self, number));
	world_end_writer_soon(self, number, writer, 0);
}

/* What happened last concerned node a, and perhaps b. */
void
steps_interrupt(World *self, int a, int b)
{
	int			other = b != a && b < self->n ? b : (a + 1) % self->n;

	switch (self->steps.kind)
	{
		case INTERRUPT_NOTHING:
		case INTERRUPTS:
			break;
		case INTERRUPT_BREAK:
			world_trace(self, "link %d - %d breaks", a, other);
			self->network->cut(self, a, other);
			break;
		case INTERRUPT_CRASH:
			faults_crash(self, a);
			break;
		case INTERRUPT_CRASH_OTHER:
			faults_crash(self, other);
			break;
		case INTERRUPT_DEATH:
			faults_kill(self, a);
			break;
		case INTERRUPT_DEATH_OTHER:
			faults_kill(self, other);
			break;
		case INTERRUPT_ABSENCE:
			faults_part(self, a, 1500, 100);
			break;
	}
}
