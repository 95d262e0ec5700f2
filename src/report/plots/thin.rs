//! Lines with no more points than can be seen.

/// Largest distance of a dropped point from the line that is drawn, in units of the drawing; half a pixel at the usual size.
const TOLERANCE: f64 = 1.0;

/// The points of a line that it needs to look the same: Ramer 1972, Douglas & Peucker 1973. Both ends stay.
pub(super) fn thin(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let Some(last) = points.len().checked_sub(1) else { return Vec::new() };
    let mut is_kept = vec![false; points.len()];
    (is_kept[0], is_kept[last]) = (true, true);
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        let furthest = (from + 1..to)
            .map(|i| (distance(points[i], points[from], points[to]), i))
            .fold((TOLERANCE, None), |best, (distance, i)| if distance > best.0 { (distance, Some(i)) } else { best });
        if let (_, Some(middle)) = furthest {
            is_kept[middle] = true;
            open.extend([(from, middle), (middle, to)]);
        }
    }
    points.iter().zip(is_kept).filter(|(_, kept)| *kept).map(|(point, _)| *point).collect()
}

/// From a point to the nearest point of a segment.
fn distance(point: (i32, i32), from: (i32, i32), to: (i32, i32)) -> f64 {
    let along = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let own = (f64::from(point.0 - from.0), f64::from(point.1 - from.1));
    let squares = along.0 * along.0 + along.1 * along.1;
    let share = if squares > 0.0 { ((own.0 * along.0 + own.1 * along.1) / squares).clamp(0.0, 1.0) } else { 0.0 };
    (own.0 - share * along.0).hypot(own.1 - share * along.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_stay_and_what_lies_between_goes() {
        let stairs = [(0, 0), (5, 0), (10, 0), (10, 4), (10, 10), (20, 10), (30, 10)];
        assert_eq!(thin(&stairs), [(0, 0), (10, 0), (10, 10), (30, 10)]);
        let back = [(0, 0), (30, 0), (0, 0)];
        assert_eq!(thin(&back), back);
        let slope: Vec<(i32, i32)> = (0..500).map(|x| (x, 2 * x + x % 2)).collect();
        assert_eq!(thin(&slope), [(0, 0), (499, 999)]);
        assert_eq!(thin(&[]), []);
        assert_eq!(thin(&[(3, 3)]), [(3, 3)]);
    }

    #[test]
    fn no_dropped_point_is_further_away_than_is_allowed() {
        let wave: Vec<(i32, i32)> = (0..2000).map(|x| (x / 4, (200.0 * (f64::from(x) / 90.0).sin()) as i32)).collect();
        let thinned = thin(&wave);
        assert!(thinned.len() < 150, "{}", thinned.len());
        for &point in &wave {
            let nearest = thinned.windows(2).map(|pair| distance(point, pair[0], pair[1])).fold(f64::MAX, f64::min);
            assert!(nearest <= TOLERANCE, "{point:?} is {nearest} away");
        }
    }
}
