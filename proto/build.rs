//! Compiles the API without a system protoc, and writes down the access policy that every method declares.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost_reflect::{DescriptorPool, Value};

const FILES: [&str; 7] = [
    "evenkeel/v1/access.proto",
    "evenkeel/v1/agent.proto",
    "evenkeel/v1/compatibility.proto",
    "evenkeel/v1/fleet.proto",
    "evenkeel/v1/plan.proto",
    "evenkeel/v1/release.proto",
    "evenkeel/store/v1/record.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=evenkeel");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;
    fs::write(
        out.join("access_table.rs"),
        access_table(&compiler.descriptor_pool())?,
    )?;
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .bytes(".evenkeel.v1.FetchArtifactResponse.chunk")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// A table of `(path, access)`, one row for each method. A method that does not say who may call it
/// fails the build.
fn access_table(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option = pool
        .get_extension_by_name("evenkeel.v1.required_access")
        .ok_or("evenkeel/v1/access.proto lost its option required_access")?;
    let mut table = String::from("&[\n");
    for service in pool.services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let options = method.options();
            let access = match options.get_extension(&option).as_ref() {
                Value::EnumNumber(1) => "Viewer",
                Value::EnumNumber(2) => "Operator",
                Value::EnumNumber(3) => "Admin",
                Value::EnumNumber(4) => "Agent",
                other => {
                    return Err(
                        format!("{path} does not say who may call it (it says {other:?})").into(),
                    );
                }
            };
            writeln!(table, "    (\"{path}\", Access::{access}),")?;
        }
    }
    table.push(']');
    Ok(table)
}
