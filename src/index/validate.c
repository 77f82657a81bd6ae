/*
 * validate.c
 *	  Validation of an operator class, for amvalidate().
 *
 * An operator class of ours has for its type one operator, of strategy 1, which takes
 * two values of the type, gives a float8 and serves ORDER BY; and support function 1,
 * which tells the access method what opclass.h says.  What is wrong is told by INFO,
 * each fault once; nothing is locked, and the catalogs are read by the syscache alone.
 */
#include "index/validate.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "index/opclass.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define DISTANCE_STRATEGY 1

/* A family under validation: how messages name it. */
typedef struct Validation
{
	char	   *family;
	char	   *am;
	bool		valid;
} Validation;

/* Tell of one fault: "what" is contained, and "why" goes on from there. */
static void
fault(Validation *self, const char *what, const char *why)
{
	self->valid = false;
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator family \"%s\" of access method %s contains %s %s", self->family, self->am, what, why)));
}

static void
validate_operator(Validation *self, Form_pg_amop amop)
{
	char	   *what = psprintf("operator %s", format_operator(amop->amopopr));

	if (amop->amopstrategy != DISTANCE_STRATEGY)
		fault(self, what, psprintf("with invalid strategy number %d", amop->amopstrategy));
	if (amop->amoppurpose != AMOP_ORDER)
		fault(self, what, "with invalid purpose: an index gives rows in order, and does not search by a condition");
	else if (!opfamily_can_sort_type(amop->amopsortfamily, FLOAT8OID))
		fault(self, what, "with invalid ORDER BY operator family");
	if (amop->amoplefttype != amop->amoprighttype)
		fault(self, what, "with different left and right input types");
	if (!check_amop_signature(amop->amopopr, FLOAT8OID, amop->amoplefttype, amop->amoprighttype))
		fault(self, what, "with wrong signature");
}

static void
validate_function(Validation *self, Form_pg_amproc amproc)
{
	char	   *what = psprintf("support function %s", format_procedure(amproc->amproc));

	if (amproc->amprocnum != INDEX_SUPPORT_PROC)
		fault(self, what, psprintf("with invalid support number %d", amproc->amprocnum));
	if (amproc->amproclefttype != amproc->amprocrighttype)
		fault(self, what, "with different left and right input types");
	if (!check_amproc_signature(amproc->amproc, INTERNALOID, true, 1, 1, INTERNALOID))
		fault(self, what, "with wrong signature");
}

/* Has each type that the family names both, and has it the class's own type? */
static void
validate_groups(Validation *self, CatCList *operators, CatCList *functions, Oid type, const char *opclass)
{
	ListCell   *cell;
	bool		found = false;

	foreach(cell, identify_opfamily_groups(operators, functions))
	{
		OpFamilyOpFuncGroup *group = (OpFamilyOpFuncGroup *) lfirst(cell);

		if (group->lefttype == type && group->righttype == type)
			found = (group->operatorset & ((uint64) 1 << DISTANCE_STRATEGY)) != 0 &&
				(group->functionset & ((uint64) 1 << INDEX_SUPPORT_PROC)) != 0;
	}
	if (!found)
	{
		self->valid = false;
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing its operator %d or support function %d",
						opclass, self->am, DISTANCE_STRATEGY, INDEX_SUPPORT_PROC)));
	}
}

static char *
family_name(Oid family)
{
	HeapTuple	tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(family));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", family);
	name = pstrdup(NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);
	return name;
}

/* Is the operator class, and all of its family, what the access method takes it for? */
bool
IndexValidateOpclass(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	CatCList   *operators;
	CatCList   *functions;
	Validation	self;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	self.family = family_name(form->opcfamily);
	self.am = get_am_name(form->opcmethod);
	self.valid = true;

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(form->opcfamily));
	functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(form->opcfamily));
	for (int i = 0; i < operators->n_members; i++)
		validate_operator(&self, (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple));
	for (int i = 0; i < functions->n_members; i++)
		validate_function(&self, (Form_pg_amproc) GETSTRUCT(&functions->members[i]->tuple));
	validate_groups(&self, operators, functions, form->opcintype, NameStr(form->opcname));

	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	ReleaseSysCache(tuple);
	return self.valid;
}
