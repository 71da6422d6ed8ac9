module scalegate.dev/examples/go

go 1.22
