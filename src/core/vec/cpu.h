/*
 * cpu.h
 *	  Which instruction sets this processor offers, asked once at run time.
 *
 * The build never uses -march=native.  Each kernel that has a faster form is
 * compiled with a target attribute and chosen through this level: every file
 * of kernels keeps a constant table with one row for each level, and indexes
 * it with cpu_level_in_force() on every call.  That costs one load and one
 * well predicted branch, needs no initialisation call, is safe in any thread,
 * and follows cpu_level_limit() at once.
 */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#if defined(__x86_64__) && defined(__GNUC__)
#define CORE_X86 1
#elif defined(__aarch64__) && defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && \
	(!defined(__clang__) || __clang_major__ >= 16)
/* clang takes single functions' instruction sets from 16 on: before, there is plain C */
#define CORE_ARM64 1
#endif

typedef enum CpuLevel
{
	CPU_SCALAR = 0,				/* plain C, the reference */
#ifdef CORE_ARM64
	CPU_NEON = 1,				/* Advanced SIMD, which every 64-bit Arm has */
	CPU_DOTPROD = 2,			/* the above + products of bytes (SDOT, UDOT) */
	CPU_FP16 = 3,				/* the above + arithmetic of halves, with products into floats (FMLAL) */
	CPU_MOST = CPU_FP16
#else
	CPU_AVX2 = 1,				/* AVX2 + FMA + F16C (+ OS support of ymm) */
	CPU_AVX512 = 2,				/* the above + AVX-512 F, BW, DQ, VL, VNNI, VPOPCNTDQ (+ OS support of zmm) */
	CPU_MOST = CPU_AVX512
#endif
} CpuLevel;

/* "scalar", "avx2", ...: for tests and benchmarks */
extern const char *const cpu_level_names[];

/* Best level of this processor; constant over the life of the process. */
extern CpuLevel cpu_level(void);

/*
 * Tests and benchmarks use the limit to run every form of a kernel on one
 * machine.  It only ever lowers the level.
 */
extern void cpu_level_limit(CpuLevel most);

/* Private to cpu.c and the function below: -1 until the first question. */
extern int	cpu_level_chosen;
extern CpuLevel cpu_level_choose(void);

/* Level in force: the best one unless cpu_level_limit() lowered it. */
static inline CpuLevel
cpu_level_in_force(void)
{
	int			level = __atomic_load_n(&cpu_level_chosen, __ATOMIC_RELAXED);

	return level >= 0 ? (CpuLevel) level : cpu_level_choose();
}

/*
 * KEEP_ROUNDED keeps the compiler from fusing the product v into a following
 * addition, where forms have to round alike.  Costs no instruction.
 */
#if defined(CORE_X86)
#define TARGET_AVX2 __attribute__((target("avx2,fma,f16c,popcnt,bmi,bmi2")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,avx2,fma,f16c,popcnt,bmi,bmi2")))
#define KEEP_ROUNDED(v) __asm__("" : "+v"(v))
#elif defined(CORE_ARM64)
/* gcc's intrinsics of these ask for the version of the architecture that has them first */
#define TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define TARGET_FP16 __attribute__((target("arch=armv8.2-a+dotprod+fp16fml")))
#define KEEP_ROUNDED(v) __asm__("" : "+w"(v))
#endif

#endif							/* CORE_CPU_H */
