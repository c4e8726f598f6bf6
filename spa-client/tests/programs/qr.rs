//! `spa-keygen --qr`: the picture goes where it may, and holds what `import -` takes.

use crate::own_profiles::fed;
use crate::scratch::Scratch;

/// The text that a camera sees in half blocks: by a reader that has nothing in common with what drew it.
fn scan(picture: &str) -> String {
    let rows: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
    let (width, height, scale) = (rows[0].len(), rows.len() * 2, 4);
    let mut image =
        rqrr::PreparedImage::prepare_from_greyscale(width * scale, height * scale, |x, y| {
            match (rows[y / scale / 2][x / scale], y / scale % 2) {
                ('\u{2588}', _) | ('\u{2580}', 0) | ('\u{2584}', 1) => 255,
                _ => 0,
            }
        });
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "{picture}");
    grids[0].decode().unwrap().1
}

#[test]
fn the_profile_that_a_camera_reads_can_be_taken_in() {
    let scratch = Scratch::new();
    let done =
        scratch.keygen("laptop --server vpn.example.org --open tcp/22 --freshness clock --qr=always").ok();
    let is_picture = |line: &&str| {
        line.chars().count() > 40 && line.chars().all(|c| "\u{2588}\u{2580}\u{2584} ".contains(c))
    };
    let picture: Vec<&str> = done.out.lines().filter(is_picture).collect();
    assert!(picture[0].chars().count() <= 80, "{} columns fit no terminal", picture[0].chars().count());
    assert!(!done.out.contains('\u{1b}'));
    let text = scan(&picture.join("\n"));
    fed(&scratch, "spa-client", &["profiles", "import", "-"], &text).ok();
    let comment = "# The client's half of a profile. Secret: whoever reads it can knock.\n";
    assert_eq!(format!("{comment}{text}"), scratch.read("laptop.spa.toml"));
}

#[test]
fn into_a_pipe_it_goes_only_if_that_is_said_and_too_much_leaves_nothing() {
    let scratch = Scratch::new();
    let laptop = "laptop --server vpn.example.org --open tcp/22 --freshness clock";
    assert_eq!(scratch.keygen(&format!("{laptop} --qr")).status, 2);
    assert!(scratch.files().is_empty());
}
