module scalegate.dev/tests/clients

go 1.22
