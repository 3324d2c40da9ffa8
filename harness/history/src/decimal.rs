//! Numbers in decimal digits, eight of them at a time: most of a large history is such numbers.

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number that the bytes begin with, modulo 2⁶⁴, and how many digits it has.
#[inline]
pub(crate) fn leading(bytes: &[u8]) -> (u64, usize) {
    let (mut number, mut len) = (0_u64, 0);
    while let Some(chunk) = bytes[len..].first_chunk() {
        let (digits, count) = digits(u64::from_le_bytes(*chunk));
        number = number.wrapping_mul(POWERS[count]).wrapping_add(value(digits));
        len += count;
        if count < 8 {
            return (number, len);
        }
    }
    while let Some(digit) = bytes.get(len).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        len += 1;
    }
    (number, len)
}

/// The digits that eight bytes begin with, moved to their end behind zeros, and how many there are. The first byte is the lowest.
#[inline]
const fn digits(bytes: u64) -> (u64, usize) {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    const TOP_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    /// Has any byte above nine reach the top bit.
    const ABOVE_NINE: u64 = u64::from_le_bytes([0x80 - 10; 8]);

    let digits = bytes ^ ZEROS;
    // A sum may carry into the bytes after the first that is no digit, which do not matter.
    let others = (digits.wrapping_add(ABOVE_NINE) | digits) & TOP_BITS;
    let count = others.trailing_zeros() as usize / 8;
    if count == 0 { (0, 0) } else { (digits << (64 - 8 * count), count) }
}

/// The number of eight digits.
#[inline]
const fn value(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    /// What the first and the third pair count, and the second and the fourth, each in its half.
    const FIRST_AND_THIRD: u64 = 100 + (1_000_000 << 32);
    const SECOND_AND_FOURTH: u64 = 1 + (10_000 << 32);

    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let first_and_third = (pairs & PAIRS).wrapping_mul(FIRST_AND_THIRD);
    let second_and_fourth = (pairs >> 16 & PAIRS).wrapping_mul(SECOND_AND_FOURTH);
    first_and_third.wrapping_add(second_and_fourth) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::leading;

    /// Digit by digit.
    fn one_by_one(bytes: &[u8]) -> (u64, usize) {
        let len = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let next = |n: u64, digit: &u8| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        (bytes[..len].iter().fold(0, next), len)
    }

    proptest! {
        #[test]
        fn eight_at_a_time_is_one_by_one(number in "[0-9]{0,40}", rest in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = number.into_bytes();
            bytes.extend(rest);
            prop_assert_eq!(leading(&bytes), one_by_one(&bytes));
        }
    }

    #[test]
    fn every_byte_but_a_digit_ends_a_number() {
        for byte in 0..=u8::MAX {
            for at in 0..12 {
                let mut bytes = *b"987654321098";
                bytes[at] = byte;
                assert_eq!(leading(&bytes), one_by_one(&bytes), "{bytes:?}");
            }
        }
    }
}
