# The common tasks; `just` lists them.
default:
    @just --list

# Build everything.
build:
    dotnet build ConfidentialChat.slnx --configuration Release

# The gate: what CI runs.
test:
    ./test.sh

# One test project, for example: just only Protocol
only project *arguments:
    dotnet run --project test/{{project}} --configuration Release -- {{arguments}}

# Ask the demo's questions.
demo:
    ./cchat demo

# The whole path, hop by hop: --quick for a minute, --help for the rest.
bench-path *arguments:
    ./bench.sh {{arguments}}

# Seal and open against raw AES-256-GCM, in one run.
bench *arguments:
    dotnet run --project bench/Micro --configuration Release -- {{arguments}}

# Make the packages for .NET programs.
pack *arguments:
    ./pack.sh {{arguments}}

# Put the format right.
format:
    dotnet format ConfidentialChat.slnx

# Accept the public API as it is now.
accept-api:
    CONFIDENTIALCHAT_ACCEPT_API=1 dotnet run --project test/Architecture --configuration Release
