//! In which order rows are appended so that they fill the pages.
//!
//! redb puts a row behind the last one if it fits into that one's page, and otherwise begins a page, of a power of two
//! if it is long. Rows that come together may come in any order, so they are put into pages first, the longest first
//! and each into the first that has room ("first fit decreasing"; D. S. Johnson, Near-Optimal Bin Packing Algorithms,
//! 1973): no row that begins a page then would have fitted into the one before.

/// A page, and what of it is not for rows.
const PAGE: usize = 4096;
const HEADER: usize = 4;

/// What a row takes beside its value: its rank, and where it ends.
const PER_ROW: usize = 8 + 4;

/// The indices of rows with values of these lengths, in the order in which they are to be appended.
pub(super) fn order(lengths: &[usize]) -> Vec<usize> {
    let mut longest_first: Vec<_> = lengths.iter().map(|length| length + PER_ROW).enumerate().collect();
    longest_first.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let mut pages: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, size) in longest_first {
        if let Some((room, rows)) = pages.iter_mut().find(|(room, _)| *room >= size) {
            *room -= size;
            rows.push(index);
        } else {
            let page = (HEADER + size).next_power_of_two().max(PAGE);
            pages.push((page - HEADER - size, vec![index]));
        }
    }
    pages.into_iter().flat_map(|(_, rows)| rows).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of the pages that rows take when they are appended in this order.
    fn taken(sizes: impl Iterator<Item = usize>) -> usize {
        let (mut total, mut room) = (0, 0);
        for size in sizes.map(|length| length + PER_ROW) {
            if size > room {
                let page = (HEADER + size).next_power_of_two().max(PAGE);
                total += page;
                room = page - HEADER;
            }
            room -= size;
        }
        total
    }

    proptest! {
        #[test]
        fn every_row_is_written_once_and_takes_no_more_room_than_by_chance(
            lengths in prop::collection::vec(prop_oneof![0..1_500_usize, 0..9_000_usize], 0..256)
        ) {
            let order = order(&lengths);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..lengths.len()).collect::<Vec<_>>());
            let packed = taken(order.iter().map(|index| lengths[*index]));
            prop_assert!(packed <= taken(lengths.iter().copied()) + PAGE);
        }
    }

    #[test]
    fn rows_of_mixed_lengths_fill_their_pages() {
        let mut rng = fastrand::Rng::with_seed(1);
        let lengths: Vec<_> = (0..256).map(|_| rng.usize(200..2_500)).collect();
        let packed = taken(order(&lengths).into_iter().map(|index| lengths[index]));
        let all: usize = lengths.iter().map(|length| length + PER_ROW).sum();
        assert!(packed * 96 < all * 100, "{all} bytes in {packed}");
    }
}
