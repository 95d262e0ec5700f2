//! Instruction sets: one body of each kernel, compiled once for each, and the tiles of matrix products written for it; the best
//! chosen when the program runs.

use std::sync::OnceLock;

use thiserror::Error;

#[cfg(target_arch = "aarch64")]
use super::aarch64;
use super::packed::Format;
use super::simd::{Portable, Simd};
use super::tile::{self, Tiles};
#[cfg(target_arch = "x86_64")]
use super::x86_64;

/// The variable that asks for a lower set of instructions than the best, by the names of [`Isa::name`].
pub const ISA_VARIABLE: &str = "TOPICWIRE_ISA";

/// A set of instructions that this CPU has; holding the value is the proof.
///
/// ```
/// use topicwire::kernels::dispatch::Isa;
/// assert!(Isa::available().contains(&Isa::best()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Isa(Level);

/// Ordered: a CPU that has one has all above it, [`Level::Avx2Vnni`] set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Level {
    /// What the compiler makes of plain Rust.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The same with the int8 products of AVX-VNNI (Intel, from Alder Lake on).
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    /// AVX-512 F, VL, BW and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with int8 products.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// The same with bf16 products too.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// NEON, which every AArch64 CPU has.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// The same with int8 products of one sign (`sdot`; Apple M1, Graviton 2).
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    /// The same with int8 products of two signs (`usdot`; Apple M2, Graviton 3).
    #[cfg(target_arch = "aarch64")]
    NeonI8mm,
}

/// [`ISA_VARIABLE`] asks for what cannot be had.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{ISA_VARIABLE} is `{wanted}`; this CPU has {}", known.join(", "))]
pub struct IsaError {
    pub wanted: String,
    pub known: Vec<&'static str>,
}

/// A computation on registers of any instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Computes. Implementations are `#[inline(always)]`, as is all they call, so that they are compiled anew for each
    /// instruction set.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    /// The fastest set this CPU has.
    pub fn best() -> Self {
        *Self::available().last().expect("the portable set is always there")
    }

    /// Every set this CPU has, slowest first.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let has_avx512 = has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            let has_vnni = has_avx512 && is_x86_feature_detected!("avx512vnni");
            for (has_it, level) in [
                (has_avx2, Level::Avx2),
                (has_avx2 && is_x86_feature_detected!("avxvnni"), Level::Avx2Vnni),
                (has_avx512, Level::Avx512),
                (has_vnni, Level::Avx512Vnni),
                (has_vnni && is_x86_feature_detected!("avx512bf16"), Level::Avx512Bf16),
            ] {
                if has_it {
                    levels.push(level);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            let has_dot = std::arch::is_aarch64_feature_detected!("dotprod");
            let has_i8mm = has_dot && std::arch::is_aarch64_feature_detected!("i8mm");
            levels.push(Level::Neon);
            levels.extend([(has_dot, Level::NeonDot), (has_i8mm, Level::NeonI8mm)].iter().filter(|l| l.0).map(|l| l.1));
        }
        levels.into_iter().map(Self).collect()
    }

    /// The set that [`ISA_VARIABLE`] names, or the best; read once.
    ///
    /// # Errors
    /// The variable names none that this CPU has.
    pub fn chosen() -> Result<Self, IsaError> {
        static CHOSEN: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        let wanted = || std::env::var(ISA_VARIABLE).ok().filter(|name| !name.is_empty());
        CHOSEN.get_or_init(|| Self::named(wanted())).clone()
    }

    fn named(wanted: Option<String>) -> Result<Self, IsaError> {
        let Some(wanted) = wanted else { return Ok(Self::best()) };
        let available = Self::available();
        let found = available.iter().find(|isa| isa.name() == wanted).copied();
        found.ok_or_else(|| IsaError { wanted, known: available.into_iter().map(Self::name).collect() })
    }

    /// `portable`; on x86-64 `avx2`, `avx2-vnni`, `avx512`, `avx512-vnni` or `avx512-bf16`; on AArch64 `neon`, `neon-dot` or `neon-i8mm`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni => "avx2-vnni",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => "avx512-bf16",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Level::NeonDot => "neon-dot",
            #[cfg(target_arch = "aarch64")]
            Level::NeonI8mm => "neon-i8mm",
        }
    }

    /// The tiles of products in this format.
    pub(super) fn tiles(self, format: Format) -> Tiles {
        match (format, self.0) {
            (Format::F32, Level::Portable) => tile::PORTABLE_F32,
            (Format::Bf16, Level::Portable) => tile::PORTABLE_BF16,
            (Format::Int8, Level::Portable) => tile::PORTABLE_INT8,
            #[cfg(target_arch = "x86_64")]
            (Format::F32, Level::Avx2 | Level::Avx2Vnni) => x86_64::AVX2_F32,
            #[cfg(target_arch = "x86_64")]
            (Format::Bf16, Level::Avx2 | Level::Avx2Vnni) => x86_64::AVX2_BF16,
            #[cfg(target_arch = "x86_64")]
            (Format::Int8, Level::Avx2) => x86_64::AVX2_INT8,
            #[cfg(target_arch = "x86_64")]
            (Format::Int8, Level::Avx2Vnni) => x86_64::AVX2_VNNI_INT8,
            #[cfg(target_arch = "x86_64")]
            (Format::F32, _) => x86_64::AVX512_F32,
            #[cfg(target_arch = "x86_64")]
            (Format::Bf16, Level::Avx512 | Level::Avx512Vnni) => x86_64::AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            (Format::Bf16, Level::Avx512Bf16) => x86_64::AVX512_BF16_NATIVE,
            #[cfg(target_arch = "x86_64")]
            (Format::Int8, Level::Avx512) => x86_64::AVX512_INT8,
            #[cfg(target_arch = "x86_64")]
            (Format::Int8, Level::Avx512Vnni | Level::Avx512Bf16) => x86_64::AVX512_VNNI_INT8,
            #[cfg(target_arch = "aarch64")]
            (Format::F32, _) => aarch64::NEON_F32,
            #[cfg(target_arch = "aarch64")]
            (Format::Bf16, _) => aarch64::NEON_BF16,
            #[cfg(target_arch = "aarch64")]
            (Format::Int8, Level::Neon) => aarch64::NEON_INT8,
            #[cfg(target_arch = "aarch64")]
            (Format::Int8, Level::NeonDot) => aarch64::NEON_DOT_INT8,
            #[cfg(target_arch = "aarch64")]
            (Format::Int8, Level::NeonI8mm) => aarch64::NEON_I8MM_INT8,
        }
    }

    /// Runs the kernel as compiled for this set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available`, the only maker of this value, saw that the CPU has these features.
            Level::Avx2 | Level::Avx2Vnni => unsafe { run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 | Level::Avx512Vnni => unsafe { run_avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512Bf16 => unsafe { run_avx512_bf16(kernel) },
            #[cfg(target_arch = "aarch64")]
            Level::Neon | Level::NeonDot | Level::NeonI8mm => kernel.run(aarch64::Neon),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the function itself has the features.
    kernel.run(unsafe { x86_64::Avx2::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the function itself has the features.
    kernel.run(unsafe { x86_64::Avx512::<false>::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,fma")]
fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the function itself has the features.
    kernel.run(unsafe { x86_64::Avx512::<true>::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_chosen_by_name_and_another_is_refused() {
        assert_eq!(Isa::named(None).unwrap(), Isa::best());
        for isa in Isa::available() {
            assert_eq!(Isa::named(Some(isa.name().to_owned())).unwrap(), isa);
        }
        let message = Isa::named(Some("sse9".to_owned())).unwrap_err().to_string();
        assert!(message.starts_with("TOPICWIRE_ISA is `sse9`; this CPU has portable"), "{message}");
    }
}
