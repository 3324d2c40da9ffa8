//! Numbers in decimal digits, eight of them at a time: most of a large history is such numbers.

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
const TOP_BITS: u64 = u64::from_le_bytes([0x80; 8]);

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

/// How far the bytes are certainly whole numbers of a few digits with a comma behind each: a quick look at eight bytes at a time, that
/// stops at the first that make it doubt.
#[inline]
pub(crate) fn whole_numbers(bytes: &[u8]) -> usize {
    /// Of a number that goes on over more bytes than this, somebody else must count the digits.
    const DIGITS_BEFORE: u32 = 10;

    let (mut at, mut end) = (0, 0);
    // What the next byte follows: the start of a number, and a zero that is one; and how many digits are before it.
    let (mut after_comma, mut after_zero, mut run) = (0x80_u64, 0_u64, 0_u32);
    while let Some(chunk) = bytes[at..].first_chunk() {
        let marks = Marks::of(u64::from_le_bytes(*chunk));
        let starts = (marks.commas << 8) | after_comma;
        let zeros = starts & marks.zeros;
        let behind_zeros = (zeros << 8) | after_zero;
        let wrong = (marks.others ^ marks.commas)
            | starts & marks.commas
            | behind_zeros & !marks.others & TOP_BITS;
        if wrong != 0 {
            break;
        }
        at += 8;
        if marks.commas == 0 {
            run += 8;
        } else {
            run = marks.commas.leading_zeros() / 8;
            end = at - run as usize;
        }
        if run > DIGITS_BEFORE {
            break;
        }
        (after_comma, after_zero) = (marks.commas >> 56, zeros >> 56);
    }
    end
}

/// Which of eight bytes are what, each by its top bit. The first byte is the lowest.
struct Marks {
    commas: u64,
    zeros: u64,
    /// Whatever is no digit.
    others: u64,
}

impl Marks {
    #[inline]
    const fn of(bytes: u64) -> Self {
        const COMMAS: u64 = u64::from_le_bytes([b','; 8]);

        let digits = bytes ^ ZEROS;
        Self {
            commas: !not_below::<1>(bytes ^ COMMAS) & TOP_BITS,
            zeros: !not_below::<1>(digits) & TOP_BITS,
            others: not_below::<10>(digits),
        }
    }
}

/// The top bit of each byte that is not below `N`.
#[inline]
const fn not_below<const N: u8>(bytes: u64) -> u64 {
    // What reaches the top bit stays in its byte.
    let low = (bytes & !TOP_BITS) + u64::from_le_bytes([0x80 - N; 8]);
    (low | bytes) & TOP_BITS
}

/// The digits that eight bytes begin with, moved to their end behind zeros, and how many there are. The first byte is the lowest.
#[inline]
const fn digits(bytes: u64) -> (u64, usize) {
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

    use super::{leading, whole_numbers};

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

    /// Whether they are whole numbers of at most eighteen digits with a comma behind each.
    fn are_whole(bytes: &[u8]) -> bool {
        let Some(numbers) = bytes.strip_suffix(b",") else { return bytes.is_empty() };
        numbers.split(|byte| *byte == b',').all(|number| {
            let zero = number.len() > 1 && number[0] == b'0';
            (1..=18).contains(&number.len()) && !zero && number.iter().all(u8::is_ascii_digit)
        })
    }

    proptest! {
        #[test]
        fn what_is_passed_is_whole_numbers(text in "([0-9]{1,20},|[0-9]{1,3},|0,){0,12}[0-9,x-]{0,9}") {
            let passed = whole_numbers(text.as_bytes());
            prop_assert!(are_whole(&text.as_bytes()[..passed]), "{passed} of {text}");
        }

        #[test]
        fn of_short_numbers_the_last_are_left(numbers in prop::collection::vec(0..10_000_000_000_u64, 0..20)) {
            let text: String = numbers.iter().map(|number| format!("{number},")).collect();
            prop_assert!(whole_numbers(text.as_bytes()) + 8 + 11 > text.len(), "{text}");
        }
    }

    #[test]
    fn nothing_but_whole_numbers_is_passed() {
        let near = *b"12,7,480,9,11,0,23,5,";
        assert_eq!(whole_numbers(&near), 16);
        for byte in 0..=u8::MAX {
            for at in 0..near.len() {
                let mut bytes = near;
                bytes[at] = byte;
                let passed = whole_numbers(&bytes);
                assert!(are_whole(&bytes[..passed]), "{passed} of {bytes:?}");
            }
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
