/*
 * cpu.c
 *	  Asks the processor once which instruction sets it offers.
 *
 * A processor that has wide registers is of no use under an operating system
 * (or hypervisor) that does not save them.  The run-time library behind
 * __builtin_cpu_supports(), libgcc's and compiler-rt's alike, reads XCR0 with
 * xgetbv and reports AVX2 and FMA only where the system saves ymm registers,
 * and anything of AVX-512 only where it saves zmm and the mask registers too.
 * The one bit we read ourselves, F16C, works on ymm registers as AVX2 does, so
 * that asking for both covers it.
 *
 * On Arm the kernel tells what it and the processor have.  Advanced SIMD is
 * always there, with the conversion of halves; the arithmetic of halves is of
 * use to us only with products that are added up in floats.
 */
#include "core/vec/cpu.h"

#include "core/assert.h"

#ifdef CORE_X86
#include <cpuid.h>

/* clang knows no name for this one */
static int
has_f16c(void)
{
	unsigned	eax,
				ebx,
				ecx,
				edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}
#endif

#ifdef CORE_ARM64
#include <sys/auxv.h>

/* The kernel's bits, which older headers of libc do not name */
#define HAS_FPHP (1UL << 9)
#define HAS_ASIMDHP (1UL << 10)
#define HAS_ASIMDDP (1UL << 20)
#define HAS_ASIMDFHM (1UL << 23)

#define HAS_FP16 (HAS_FPHP | HAS_ASIMDHP | HAS_ASIMDFHM)

const char *const cpu_level_names[] = {"scalar", "neon", "dotprod", "fp16"};
#else
const char *const cpu_level_names[] = {"scalar", "avx2", "avx512"};
#endif

int			cpu_level_chosen = -1;

static int	most_allowed = CPU_MOST;

CpuLevel
cpu_level(void)
{
#ifdef CORE_X86
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
		!has_f16c() || !__builtin_cpu_supports("bmi") ||
		!__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("popcnt"))
		return CPU_SCALAR;
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
		!__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
		!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vpopcntdq"))
		return CPU_AVX2;
	return CPU_AVX512;
#elif defined(CORE_ARM64)
	unsigned long has = getauxval(AT_HWCAP);

	if ((has & HAS_ASIMDDP) == 0)
		return CPU_NEON;
	return (has & HAS_FP16) == HAS_FP16 ? CPU_FP16 : CPU_DOTPROD;
#else
	return CPU_SCALAR;
#endif
}

/* Threads that race here all store the same answer. */
CpuLevel
cpu_level_choose(void)
{
	int			level = cpu_level();
	int			most = __atomic_load_n(&most_allowed, __ATOMIC_RELAXED);

	if (level > most)
		level = most;
	__atomic_store_n(&cpu_level_chosen, level, __ATOMIC_RELAXED);
	return (CpuLevel) level;
}

void
cpu_level_limit(CpuLevel most)
{
	CORE_ASSERT(most >= CPU_SCALAR && most <= CPU_MOST);
	__atomic_store_n(&most_allowed, (int) most, __ATOMIC_RELAXED);
	(void) cpu_level_choose();
}
