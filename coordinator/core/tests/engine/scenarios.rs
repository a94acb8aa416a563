//! A test for every transcript in `scripts/`.

use crate::script::check;

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_transcript_has_its_test() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/scripts");
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let mut tests = vec![$(concat!(stringify!($name), ".txt")),*];
            tests.sort_unstable();
            assert_eq!(files, tests);
        }
    };
}

transcripts! {
    the_canary_goes_first_and_then_the_rest
}
