# The drivers of test_aws_sign.py and test_aws_client.py. Not ctest tests.
add_executable(aws-sign ${KC_TEST_DIR}/aws_sign.c)
target_link_libraries(aws-sign PRIVATE kc-clouds-aws-sign kc-codec-json)
add_executable(aws-client ${KC_TEST_DIR}/aws_client.c)
target_link_libraries(aws-client PRIVATE kc-clouds-aws)
