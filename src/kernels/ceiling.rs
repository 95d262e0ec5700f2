//! What products could reach at best: the largest tile on data that stays in the first cache, over and over.

use std::time::{Duration, Instant};

use super::dispatch::Isa;
use super::packed::{Format, PANEL_COLUMNS, STEP_BYTES};
use super::tile::{MAX_TILE_ROWS, PANEL_STEP_BYTES, TileJob};

/// Steps of the tile: 12 KiB of panel and 1 KiB of rows stay in a first cache of 32 KiB.
const N_STEPS: usize = 96;

/// Tiles between two looks at the clock.
const TILES_PER_LOOK: usize = 200;

/// Operations per second of this thread, a multiplication and an addition counting two, in `duration`. The same for every
/// product of the encoder, which cannot be faster.
///
/// ```
/// use std::time::Duration;
/// use topicwire::kernels::{ceiling::operations_per_second, dispatch::Isa, packed::Format};
/// assert!(operations_per_second(Isa::best(), Format::F32, Duration::from_millis(1)) > 1e6);
/// ```
pub fn operations_per_second(isa: Isa, format: Format, duration: Duration) -> f64 {
    let tiles = isa.tiles(format);
    let rows = vec![0u8; tiles.max_rows * N_STEPS * STEP_BYTES];
    let panel = vec![0u8; N_STEPS * PANEL_STEP_BYTES];
    let mut out = [[0.0f32; PANEL_COLUMNS]; MAX_TILE_ROWS];
    let job = TileJob {
        rows: rows.as_ptr(),
        row_bytes: N_STEPS * STEP_BYTES,
        n_steps: N_STEPS,
        panels: panel.as_ptr(),
        panel_bytes: N_STEPS * PANEL_STEP_BYTES,
        n_panels: 1,
        out: out.as_mut_ptr().cast(),
        out_columns: PANEL_COLUMNS,
        finish: None,
    };
    let start = Instant::now();
    let mut n_tiles = 0;
    loop {
        for _ in 0..TILES_PER_LOOK {
            // SAFETY: rows, panel and output were made in the sizes that the job names; the tiles came from an `Isa`.
            unsafe { (tiles.run)(tiles.max_rows, &job) };
        }
        n_tiles += TILES_PER_LOOK;
        let elapsed = start.elapsed();
        if elapsed >= duration {
            let per_tile = 2 * tiles.max_rows * PANEL_COLUMNS * N_STEPS * format.step_len();
            return (n_tiles * per_tile) as f64 / elapsed.as_secs_f64();
        }
    }
}
