//! What a network is made of, and how its parts come out of a checkpoint's tensors.

use ndarray::{Array2, ArrayView2, s};

use crate::encoder::weights::{TensorSource, Weights, WeightsError};
use crate::kernels::packed::{Format, PackedMatrix};
use crate::kernels::rows::Norm;
use crate::kernels::table::Table;

/// A block of a stored matrix `[n_out, n_in]`, perhaps scaled.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Tensor name without `.weight` and `.bias`.
    pub(super) name: String,
    /// What is stored.
    pub(super) shape: (usize, usize),
    pub(super) rows: std::ops::Range<usize>,
    pub(super) columns: std::ops::Range<usize>,
    pub(super) has_bias: bool,
    /// Whether the bias takes part; it may belong to another block of the same rows.
    pub(super) takes_bias: bool,
    pub(super) scale: f32,
}

impl Piece {
    /// A whole matrix.
    pub(super) fn whole(name: String, n_out: usize, n_in: usize, has_bias: bool) -> Self {
        Self {
            name,
            shape: (n_out, n_in),
            rows: 0..n_out,
            columns: 0..n_in,
            has_bias,
            takes_bias: has_bias,
            scale: 1.0,
        }
    }

    fn weight_name(&self) -> String {
        format!("{}.weight", self.name)
    }

    fn bias_name(&self) -> String {
        format!("{}.bias", self.name)
    }
}

/// A packed matrix: pieces of one depth, one below the other.
#[derive(Clone, Debug)]
pub(super) struct MatrixSpec {
    /// Its name where it is kept.
    pub(super) key: String,
    pub(super) pieces: Vec<Piece>,
}

impl MatrixSpec {
    pub(super) fn n_in(&self) -> usize {
        self.pieces[0].columns.len()
    }

    pub(super) fn n_out(&self) -> usize {
        self.pieces.iter().map(|piece| piece.rows.len()).sum()
    }
}

/// Where the parts of a network come from: tensors as they were published, or parts that were made of them earlier.
pub(super) trait Parts {
    /// Numbers in rows, such as learned positions.
    fn numbers(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, WeightsError>;

    /// Rows of a tensor whose number of rows the architecture does not know.
    fn first_row(&mut self, name: &str, n_columns: usize) -> Result<Vec<f32>, WeightsError>;

    /// A layer norm; `name` is without `.weight` and `.bias`.
    fn norm(&mut self, name: &str, width: usize, has_bias: bool, eps: f32) -> Result<Norm, WeightsError>;

    /// Word embeddings.
    fn table(&mut self, name: &str, n_rows: usize, n_columns: usize, format: Format) -> Result<Table, WeightsError>;

    /// Matrices that share tensors.
    fn matrices(&mut self, specs: &[MatrixSpec], format: Format) -> Result<Vec<PackedMatrix>, WeightsError>;
}

/// Parts made of published tensors, which are read when they are needed and not kept.
pub(super) struct FromTensors<'a>(pub(super) &'a mut dyn TensorSource);

impl FromTensors<'_> {
    fn one(&mut self, name: &str) -> Result<Weights, WeightsError> {
        self.0.tensors(&[name.to_owned()])
    }
}

impl Parts for FromTensors<'_> {
    fn numbers(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, WeightsError> {
        self.one(name)?.take_matrix(name, n_rows, n_columns)
    }

    fn first_row(&mut self, name: &str, n_columns: usize) -> Result<Vec<f32>, WeightsError> {
        let mut weights = self.one(name)?;
        // Any number of rows but none will do.
        let n_rows = weights.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(1).max(1);
        Ok(weights.take_matrix(name, n_rows, n_columns)?.row(0).to_vec())
    }

    fn norm(&mut self, name: &str, width: usize, has_bias: bool, eps: f32) -> Result<Norm, WeightsError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let mut weights =
            self.0.tensors(&if has_bias { vec![weight.clone(), bias.clone()] } else { vec![weight.clone()] })?;
        Ok(Norm {
            weight: weights.take_vector(&weight, width)?.to_vec(),
            bias: if has_bias { weights.take_vector(&bias, width)?.to_vec() } else { vec![0.0; width] },
            eps,
        })
    }

    fn table(&mut self, name: &str, n_rows: usize, n_columns: usize, format: Format) -> Result<Table, WeightsError> {
        if format == Format::F32
            && let Some(rows) = self.0.mapped(name, n_rows, n_columns)?
        {
            return Ok(Table::from_parts(format, n_rows, n_columns, rows, Vec::new()));
        }
        Ok(Table::new(format, self.one(name)?.take_matrix(name, n_rows, n_columns)?))
    }

    fn matrices(&mut self, specs: &[MatrixSpec], format: Format) -> Result<Vec<PackedMatrix>, WeightsError> {
        let pieces = || specs.iter().flat_map(|spec| &spec.pieces);
        let mut names: Vec<String> = pieces().map(Piece::weight_name).collect();
        names.extend(pieces().filter(|piece| piece.has_bias).map(Piece::bias_name));
        names.sort_unstable();
        names.dedup();
        let weights = self.0.tensors(&names)?;
        specs.iter().map(|spec| pack(&weights, spec, format)).collect()
    }
}

fn pack(weights: &Weights, spec: &MatrixSpec, format: Format) -> Result<PackedMatrix, WeightsError> {
    let mut bias: Vec<f32> = Vec::with_capacity(spec.n_out());
    let mut blocks = Vec::with_capacity(spec.pieces.len());
    for piece in &spec.pieces {
        let weight = weights.matrix(&piece.weight_name(), piece.shape.0, piece.shape.1)?;
        blocks.push((weight.slice_move(s![piece.rows.clone(), piece.columns.clone()]), piece.scale));
        match piece.has_bias.then(|| weights.vector(&piece.bias_name(), piece.shape.0)).transpose()? {
            Some(stored) if piece.takes_bias => {
                bias.extend(stored.slice(s![piece.rows.clone()]).iter().map(|b| b * piece.scale));
            }
            _ => bias.extend(std::iter::repeat_n(0.0, piece.rows.len())),
        }
    }
    if let [(block, 1.0)] = blocks.as_slice() {
        return Ok(PackedMatrix::pack(format, block.view(), Some(&bias)));
    }
    Ok(PackedMatrix::pack(format, stack(&blocks).view(), Some(&bias)))
}

fn stack(blocks: &[(ArrayView2<f32>, f32)]) -> Array2<f32> {
    let n_rows = blocks.iter().map(|(block, _)| block.nrows()).sum();
    let mut stacked = Array2::zeros((n_rows, blocks[0].0.ncols()));
    let mut start = 0;
    for (block, scale) in blocks {
        stacked.slice_mut(s![start..start + block.nrows(), ..]).assign(&(block * *scale));
        start += block.nrows();
    }
    stacked
}
