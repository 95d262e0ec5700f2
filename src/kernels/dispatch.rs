//! Instruction sets: one body of plain Rust, compiled once for each, the best chosen when the program runs.

/// A set of instructions that this CPU has; holding the value is the proof.
///
/// ```
/// use topicwire::kernels::dispatch::Isa;
/// assert!(Isa::available().contains(&Isa::best()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// What every CPU of the target has: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, VL, BW and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Whether the target multiplies and adds in one instruction without being asked; elsewhere `f32::mul_add` is a slow call.
const BASELINE_HAS_FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// A computation in plain Rust that the compiler may vectorise.
pub(crate) trait Kernel {
    type Output;

    /// Computes. Implementations are `#[inline(always)]`, as is all they call, so that they are compiled anew for each
    /// instruction set; `FMA` tells whether `mul_add` is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

impl Isa {
    /// The fastest set this CPU has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("fma")
            {
                return Self(Level::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Level::Avx2);
            }
        }
        Self(Level::Baseline)
    }

    /// Every set this CPU has, slowest first.
    pub fn available() -> Vec<Self> {
        match Self::best().0 {
            Level::Baseline => vec![Self(Level::Baseline)],
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => vec![Self(Level::Baseline), Self(Level::Avx2)],
            // Every CPU with AVX-512 has AVX2.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => vec![Self(Level::Baseline), Self(Level::Avx2), Self(Level::Avx512)],
        }
    }

    /// `baseline`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// Runs the kernel as compiled for this set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Baseline => kernel.run::<BASELINE_HAS_FMA>(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `best` and `available`, the only makers of this value, saw that the CPU has these features.
            Level::Avx2 => unsafe { run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { run_avx512(kernel) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}
