/*
 * cpu.c
 *	  Asks the processor once which instruction sets it offers.
 */
#include "core/cpu.h"

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

static CpuLevel most_allowed = CPU_AVX512;

CpuLevel
cpu_level(void)
{
#ifdef CORE_X86
	static int	known = -1;

	if (known < 0)
	{
		__builtin_cpu_init();
		known = CPU_SCALAR;
		if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
			has_f16c() && __builtin_cpu_supports("bmi2") &&
			__builtin_cpu_supports("popcnt"))
		{
			known = CPU_AVX2;
			if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
				__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
				__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq"))
				known = CPU_AVX512;
		}
	}
	return (CpuLevel) known;
#else
	return CPU_SCALAR;
#endif
}

CpuLevel
cpu_level_in_force(void)
{
	CpuLevel	best = cpu_level();

	return best < most_allowed ? best : most_allowed;
}

void
cpu_level_limit(CpuLevel most)
{
	most_allowed = most;
}
