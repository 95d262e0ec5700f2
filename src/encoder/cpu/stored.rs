//! Parts of a network on their way to the file of packed weights and back.

use ndarray::Array2;

use super::parts::{FromTensors, MatrixSpec, Parts};
use crate::encoder::weights::WeightsError;
use crate::encoder::weights::packed_file::{PackedData, PackedFile, PackedTensor};
use crate::kernels::packed::{Columns, Format, PANEL_COLUMNS, PackedMatrix, panel_bytes};
use crate::kernels::rows::Norm;
use crate::kernels::table::Table;

/// Makes parts of published tensors and remembers them.
pub(super) struct Remembered<'a> {
    pub(super) tensors: FromTensors<'a>,
    pub(super) kept: Vec<PackedTensor>,
}

/// Parts that were made earlier.
pub(super) struct Stored<'a>(pub(super) &'a PackedFile);

/// Names of what belongs to one matrix or table.
const PANELS: &str = "panels";
const ROWS: &str = "rows";
const BIAS: &str = "bias";
const SCALES: &str = "scales";
const SUMS: &str = "sums";

impl Remembered<'_> {
    fn keep(&mut self, name: String, shape: Vec<usize>, numbers: Vec<f32>) {
        self.kept.push(PackedTensor { name, shape, data: PackedData::Numbers(numbers) });
    }
}

impl Parts for Remembered<'_> {
    fn numbers(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, WeightsError> {
        let numbers = self.tensors.numbers(name, n_rows, n_columns)?;
        self.keep(name.to_owned(), vec![n_rows, n_columns], numbers.iter().copied().collect());
        Ok(numbers)
    }

    fn first_row(&mut self, name: &str, n_columns: usize) -> Result<Vec<f32>, WeightsError> {
        let row = self.tensors.first_row(name, n_columns)?;
        self.keep(name.to_owned(), vec![n_columns], row.clone());
        Ok(row)
    }

    fn norm(&mut self, name: &str, width: usize, has_bias: bool, eps: f32) -> Result<Norm, WeightsError> {
        let norm = self.tensors.norm(name, width, has_bias, eps)?;
        self.keep(format!("{name}.weight"), vec![width], norm.weight.clone());
        self.keep(format!("{name}.bias"), vec![width], norm.bias.clone());
        Ok(norm)
    }

    fn table(&mut self, name: &str, n_rows: usize, n_columns: usize, format: Format) -> Result<Table, WeightsError> {
        let table = self.tensors.table(name, n_rows, n_columns, format)?;
        if !table.scales().is_empty() {
            self.keep(format!("{name}.{SCALES}"), vec![n_rows], table.scales().to_vec());
        }
        let shape = vec![n_rows, n_columns * format.number_bytes()];
        let data = PackedData::Bytes(table.bytes().clone());
        self.kept.push(PackedTensor { name: format!("{name}.{ROWS}"), shape, data });
        Ok(table)
    }

    fn matrices(&mut self, specs: &[MatrixSpec], format: Format) -> Result<Vec<PackedMatrix>, WeightsError> {
        let matrices = self.tensors.matrices(specs, format)?;
        for (spec, matrix) in specs.iter().zip(&matrices) {
            let Columns { bias, scales, sums } = matrix.columns();
            for (part, numbers) in [(BIAS, bias), (SCALES, scales), (SUMS, sums)] {
                if !numbers.is_empty() {
                    self.keep(format!("{}.{part}", spec.key), vec![numbers.len()], numbers.clone());
                }
            }
            let data = PackedData::Bytes(matrix.panels().clone());
            self.kept.push(PackedTensor {
                name: format!("{}.{PANELS}", spec.key),
                shape: panels_shape(spec, format).into(),
                data,
            });
        }
        Ok(matrices)
    }
}

impl Parts for Stored<'_> {
    fn numbers(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, WeightsError> {
        let numbers = self.0.numbers(name, &[n_rows, n_columns])?;
        Ok(Array2::from_shape_vec((n_rows, n_columns), numbers).expect("the shape was checked"))
    }

    fn first_row(&mut self, name: &str, n_columns: usize) -> Result<Vec<f32>, WeightsError> {
        Ok(self.0.numbers(name, &[n_columns])?)
    }

    fn norm(&mut self, name: &str, width: usize, _has_bias: bool, eps: f32) -> Result<Norm, WeightsError> {
        let numbers = |part: &str| self.0.numbers(&format!("{name}.{part}"), &[width]);
        Ok(Norm { weight: numbers("weight")?, bias: numbers("bias")?, eps })
    }

    fn table(&mut self, name: &str, n_rows: usize, n_columns: usize, format: Format) -> Result<Table, WeightsError> {
        let scales = match format {
            Format::Int8 => self.0.numbers(&format!("{name}.{SCALES}"), &[n_rows])?,
            Format::F32 | Format::Bf16 => Vec::new(),
        };
        let rows = self.0.bytes(&format!("{name}.{ROWS}"), &[n_rows, n_columns * format.number_bytes()])?;
        Ok(Table::from_parts(format, n_rows, n_columns, rows, scales))
    }

    fn matrices(&mut self, specs: &[MatrixSpec], format: Format) -> Result<Vec<PackedMatrix>, WeightsError> {
        let matrix = |spec: &MatrixSpec| {
            let n_columns = spec.n_out().next_multiple_of(PANEL_COLUMNS);
            let numbers = |part: &str| self.0.numbers(&format!("{}.{part}", spec.key), &[n_columns]);
            let mut columns = Columns { bias: numbers(BIAS)?, ..Columns::default() };
            if format == Format::Int8 {
                (columns.scales, columns.sums) = (numbers(SCALES)?, numbers(SUMS)?);
            }
            let panels = self.0.bytes(&format!("{}.{PANELS}", spec.key), &panels_shape(spec, format))?;
            Ok(PackedMatrix::from_parts(format, spec.n_in(), spec.n_out(), panels, columns))
        };
        specs.iter().map(matrix).collect()
    }
}

fn panels_shape(spec: &MatrixSpec, format: Format) -> [usize; 2] {
    [spec.n_out().div_ceil(PANEL_COLUMNS), panel_bytes(format, spec.n_in())]
}
