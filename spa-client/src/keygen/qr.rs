//! A client's half as a QR code (ISO/IEC 18004) made of letters: two modules one above the other are a full block, half a
//! block, or a blank. Needs no colour: what is light in the code is drawn, which is right for light letters on a dark
//! ground, and readers take it the other way round as well.

use qrcode::types::{Color, QrError};
use qrcode::{EcLevel, QrCode};

use crate::failure::{Failure, Status};

/// The light frame that a reader needs, in modules.
const QUIET: usize = 4;

/// The picture of a text, in lines.
///
/// # Errors
/// If it is too long for any code, or the code too wide for the terminal.
pub(super) fn picture(text: &str) -> Result<String, Failure> {
    // Comments are for people.
    let plain =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect::<String>();
    let plain = zeroize::Zeroizing::new(plain);
    let code = QrCode::with_error_correction_level(plain.as_bytes(), EcLevel::L).map_err(|error| {
        let why = match error {
            QrError::DataTooLong => {
                format!("the client's half has {} bytes, and a QR code holds 2953", plain.len())
            }
            other => format!("no QR code can be made: {other}"),
        };
        Failure::new(Status::Other, why, "leave --qr away and copy the file; nothing was made")
    })?;
    let columns = code.width() + 2 * QUIET;
    if let Some(room) = room().filter(|room| *room < columns) {
        let why = format!("the QR code is {columns} columns wide, and this terminal {room}");
        return Err(Failure::new(Status::Other, why, "make the window wider; nothing was made"));
    }
    Ok(draw(&code.to_colors(), code.width()))
}

fn draw(modules: &[Color], width: usize) -> String {
    // Everything around the code is light.
    let is_light = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        let module =
            inside(row).zip(inside(column)).and_then(|(row, column)| modules.get(row * width + column));
        module.is_none_or(|module| *module == Color::Light)
    };
    let size = width + 2 * QUIET;
    let line = |row: usize| -> String {
        let letter = |column| match (is_light(row, column), row + 1 == size || is_light(row + 1, column)) {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        };
        (0..size).map(letter).collect()
    };
    (0..size).step_by(2).map(line).collect::<Vec<_>>().join("\n")
}

/// Columns of the terminal that the picture goes to, if it goes to one that says so.
#[cfg(unix)]
fn room() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(not(unix))]
const fn room() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a reader that has nothing in common with what drew it.
    fn read(picture: &str) -> String {
        let rows: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
        let (width, height, scale) = (rows[0].len(), rows.len() * 2, 4);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width * scale, height * scale, |x, y| {
            let (column, row) = (x / scale, y / scale);
            let light = match (rows[row / 2][column], row % 2) {
                ('\u{2588}', _) | ('\u{2580}', 0) | ('\u{2584}', 1) => true,
                (letter, _) => !" \u{2580}\u{2584}".contains(letter),
            };
            if light { 255 } else { 0 }
        });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn another_program_reads_what_was_drawn() {
        for text in ["format = 1\n".to_owned(), format!("key = \"{}\"\n", "Aa+/".repeat(120))] {
            let drawn = picture(&format!("# a comment\n{text}")).unwrap();
            assert!(drawn.chars().all(|c| "\u{2588}\u{2580}\u{2584} \n".contains(c)), "no colour, no escape");
            assert_eq!(read(&drawn), text);
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_told() {
        let refused = picture(&format!("open = \"{}\"\n", "x".repeat(3000))).err().unwrap();
        assert!(refused.sentence.contains("a QR code holds 2953"), "{refused}");
    }
}
