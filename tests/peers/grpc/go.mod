module peer-grpc

go 1.24
