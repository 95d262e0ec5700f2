//! Matrices that are mostly zero.

use rayon::prelude::*;

use super::HeadError;

/// A matrix by its entries that are not zero, row after row (compressed sparse rows).
///
/// Row `i` has the values `values[indptr[i]..indptr[i + 1]]` in the columns `indices[…]`, ascending.
///
/// # Shapes
/// * `indptr` `[n_rows + 1]`, from 0 to the number of entries, never falling
/// * `indices`, `values` `[n_entries]`
///
/// # Example
/// ```
/// use topicwire::heads::SparseRows;
/// let rows = SparseRows::new(3, vec![0, 2, 2], vec![0, 2], vec![0.6, 0.8])?;
/// assert_eq!((rows.n_rows(), rows.n_columns(), rows.n_entries()), (2, 3, 2));
/// assert_eq!(rows.row(0), (&[0, 2][..], &[0.6, 0.8][..]));
/// assert_eq!(rows.row(1), (&[][..], &[][..]));
/// # Ok::<(), topicwire::heads::HeadError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows {
    n_columns: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseRows {
    /// Puts a matrix together from its parts.
    ///
    /// # Errors
    /// [`HeadError::SparseShape`] when the parts do not fit each other, [`HeadError::SparseColumn`] when the columns of
    /// a row are not ascending or out of range, [`HeadError::NonFinite`].
    pub fn new(n_columns: usize, indptr: Vec<usize>, indices: Vec<u32>, values: Vec<f32>) -> Result<Self, HeadError> {
        let starts_and_ends = indptr.first() == Some(&0) && indptr.last() == Some(&indices.len());
        if !starts_and_ends || indices.len() != values.len() || !indptr.is_sorted() {
            return Err(HeadError::SparseShape { n_indices: indices.len(), n_values: values.len() });
        }
        let rows = Self { n_columns, indptr, indices, values };
        for row_idx in 0..rows.n_rows() {
            let (columns, values) = rows.row(row_idx);
            let mut next = 0;
            for (&column, &value) in columns.iter().zip(values) {
                let column_idx = column as usize;
                if !(next..n_columns).contains(&column_idx) {
                    return Err(HeadError::SparseColumn { row_idx, column_idx, n_columns });
                }
                if !value.is_finite() {
                    return Err(HeadError::NonFinite { row_idx, column_idx, value });
                }
                next = column_idx + 1;
            }
        }
        Ok(rows)
    }

    /// A matrix from its rows, each a list of columns and values, columns ascending and below `n_columns`.
    pub(crate) fn from_rows(n_columns: usize, rows: &[Vec<(u32, f32)>]) -> Self {
        let n_entries = rows.iter().map(Vec::len).sum();
        let mut matrix = Self {
            n_columns,
            indptr: Vec::with_capacity(rows.len() + 1),
            indices: Vec::with_capacity(n_entries),
            values: Vec::with_capacity(n_entries),
        };
        matrix.indptr.push(0);
        for row in rows {
            debug_assert!(row.is_sorted_by(|a, b| a.0 < b.0));
            matrix.indices.extend(row.iter().map(|entry| entry.0));
            matrix.values.extend(row.iter().map(|entry| entry.1));
            matrix.indptr.push(matrix.indices.len());
        }
        matrix
    }

    /// Appends the rows of a matrix with the same columns.
    pub(crate) fn append(&mut self, mut other: Self) {
        debug_assert_eq!(self.n_columns, other.n_columns);
        let n_entries = self.n_entries();
        self.indptr.extend(other.indptr[1..].iter().map(|position| n_entries + position));
        self.indices.append(&mut other.indices);
        self.values.append(&mut other.values);
    }

    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Number of stored values.
    pub fn n_entries(&self) -> usize {
        self.indices.len()
    }

    /// Columns and values of a row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row_idx: usize) -> (&[u32], &[f32]) {
        let entries = self.indptr[row_idx]..self.indptr[row_idx + 1];
        (&self.indices[entries.clone()], &self.values[entries])
    }

    /// `[n_rows + 1]`, where each row's entries start.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// `[n_entries]`, the column of each entry.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// `[n_entries]`
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Columns become rows: `[n_columns, n_rows]`.
    pub fn transpose(&self) -> Self {
        let mut ends = vec![0; self.n_columns + 1];
        self.indices.iter().for_each(|&column| ends[column as usize + 1] += 1);
        for column_idx in 0..self.n_columns {
            ends[column_idx + 1] += ends[column_idx];
        }
        let indptr = ends.clone();
        let (mut indices, mut values) = (vec![0; self.n_entries()], vec![0.0; self.n_entries()]);
        for row_idx in 0..self.n_rows() {
            let (columns, row) = self.row(row_idx);
            for (&column, &value) in columns.iter().zip(row) {
                let position = &mut ends[column as usize];
                indices[*position] = row_idx as u32;
                values[*position] = value;
                *position += 1;
            }
        }
        Self { n_columns: self.n_rows(), indptr, indices, values }
    }

    /// `‖xᵢ‖²` of every row.
    pub(crate) fn squared_norms(&self) -> Vec<f64> {
        let norm = |row_idx| self.row(row_idx).1.iter().map(|&value| f64::from(value).powi(2)).sum();
        (0..self.n_rows()).into_par_iter().map(norm).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_from_outside_are_checked() {
        let shape = "a sparse matrix of";
        let column = "row 1 of a sparse matrix of 3 columns has column";
        let cases: [(&[usize], &[u32], &[f32], &str); 9] = [
            (&[], &[], &[], shape),
            (&[0, 1], &[0], &[], shape),
            (&[1, 1], &[0], &[1.0], shape),
            (&[0, 2], &[0], &[1.0], shape),
            (&[0, 2, 1, 2], &[0, 1], &[1.0; 2], shape),
            (&[0, 0, 1], &[3], &[1.0], column),
            (&[0, 0, 2], &[1, 1], &[1.0; 2], column),
            (&[0, 0, 2], &[2, 0], &[1.0; 2], column),
            (&[0, 1], &[2], &[f32::NAN], "embedding 0 holds NaN in column 2"),
        ];
        for (indptr, indices, values, expected) in cases {
            let error = SparseRows::new(3, indptr.to_vec(), indices.to_vec(), values.to_vec()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_matrix_transposed_twice_is_itself() {
        let rows = SparseRows::new(4, vec![0, 2, 2, 5], vec![0, 3, 0, 1, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let columns = rows.transpose();
        assert_eq!((columns.n_rows(), columns.n_columns()), (4, 3));
        assert_eq!(columns.row(3), (&[0, 2][..], &[2.0, 5.0][..]));
        assert_eq!(columns.transpose(), rows);
    }

    #[test]
    fn rows_appended_are_rows_given_at_once() {
        let rows = [vec![(0, 1.0)], vec![], vec![(1, 2.0), (2, 3.0)]];
        let mut pieces = SparseRows::from_rows(3, &rows[..1]);
        pieces.append(SparseRows::from_rows(3, &rows[1..]));
        assert_eq!(pieces, SparseRows::from_rows(3, &rows));
        assert_eq!(pieces.squared_norms(), [1.0, 0.0, 13.0]);
    }
}
